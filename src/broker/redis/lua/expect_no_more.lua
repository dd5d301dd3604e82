-- Nothing of some rooms waits; those are forgotten of which it was long ago that
-- something was expected.
-- KEYS: expected. ARGV: how long, in milliseconds; the rooms.
local time = redis.call('TIME')
local before = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[1])
for i = 2, #ARGV do
  local at = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if at and tonumber(at) < before then
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
return 1
