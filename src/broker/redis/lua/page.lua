-- Reads a part of a room's log.
-- KEYS: meta, log, state. ARGV: fresh, known epoch, known seq; entries, bytes,
-- age; before and after, '' where not given; limit.
-- Answers {epoch, entries, whether there are more}, or nothing where there is no log.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return false
end
local room = open(ARGV[1], ARGV[2], ARGV[3])
local limit = { entries = tonumber(ARGV[4]), bytes = tonumber(ARGV[5]), age = tonumber(ARGV[6]) }
trim(room, now(), limit, 0)
local before, after_, most = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
-- Both are places next to the page, within the log.
local stop = math.max(1, math.min(before or room.seq + 1, room.seq + 1))
local start = math.max(room.floor, math.min(after_ or 0, room.seq))
local inside = math.max(0, stop - start - 1)
local taken = math.min(inside, most)
-- With `after`, the page goes forward from there; else backward from the end.
local from = after_ and start or stop - 1 - taken
local entries = {}
if taken > 0 then
  entries = redis.call('XRANGE', KEYS[2], (from + 1) .. '-0', (from + taken) .. '-0')
end
return { room.epoch, entries, inside > most and 1 or 0 }
