-- Counts attempts within a second.
-- KEYS: the counter. ARGV: how many are allowed.
-- Answers how many milliseconds to wait; 0 where there are not too many.
local count = redis.call('INCR', KEYS[1])
if count == 1 then
  redis.call('PEXPIRE', KEYS[1], 1000)
end
if count <= tonumber(ARGV[1]) then
  return 0
end
return math.max(1, redis.call('PTTL', KEYS[1]))
