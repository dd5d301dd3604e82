-- What waits in an inbox.
-- KEYS: meta, log, state. ARGV: fresh, known epoch, known seq; entries, bytes, age.
-- Answers {epoch, seq, seen, entries}.
local room = open(ARGV[1], ARGV[2], ARGV[3])
local limit = { entries = tonumber(ARGV[4]), bytes = tonumber(ARGV[5]), age = tonumber(ARGV[6]) }
trim(room, now(), limit, 0)
local from = math.max(room.seen, room.floor)
local entries = {}
if from < room.seq then
  entries = redis.call('XRANGE', KEYS[2], (from + 1) .. '-0', '+')
end
return { room.epoch, room.seq, math.min(room.seen, room.seq), entries }
