-- Reads a room's log and state in one step.
-- KEYS: meta, log, state. ARGV: fresh, known epoch, known seq; entries, bytes,
-- age; how many of the newest; and for a reader that knows a place its epoch and
-- seq, else ''.
-- Answers {epoch, seq, whether the entries continue the place, entries, state}.
local room = open(ARGV[1], ARGV[2], ARGV[3])
local limit = { entries = tonumber(ARGV[4]), bytes = tonumber(ARGV[5]), age = tonumber(ARGV[6]) }
trim(room, now(), limit, 0)
local entries
local seq = tonumber(ARGV[9])
if ARGV[8] == room.epoch and seq <= room.seq and seq >= room.floor then
  entries = after(room, seq)
end
local recovered = entries and 1 or 0
return { room.epoch, room.seq, recovered, entries or newest(room, tonumber(ARGV[7])),
  redis.call('HGETALL', KEYS[3]) }
