-- An inbox was read up to a place; what is seen is not kept.
-- KEYS: meta, log, state. ARGV: the place; the epoch it is one of, or
-- '' for the present one.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
local room = open('', '', 0)
if ARGV[2] ~= '' and ARGV[2] ~= room.epoch then
  return 0
end
local seen = math.max(room.seen, math.min(tonumber(ARGV[1]), room.seq))
redis.call('HSET', KEYS[1], 'seen', seen)
-- All up to there is over a bound of as many entries as lie behind it.
trim(room, 0, { entries = room.seq - seen, bytes = math.huge, age = math.huge }, 0)
return 1
