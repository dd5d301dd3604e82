-- Who delivers events: whoever says so first, for as long as it goes on saying so.
-- KEYS: deliverer, waiting (hash from each endpoint to "HOW MANY SINCE WHEN").
-- ARGV: who asks, for how many milliseconds it would be.
-- Answers {whether it is, the hash}.
local holder = redis.call('GET', KEYS[1])
local is = not holder or holder == ARGV[1]
if is then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return { is and 1 or 0, redis.call('HGETALL', KEYS[2]) }
