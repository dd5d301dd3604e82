-- Something that holds for all nodes.
-- KEYS: orders (stream), revoked (sorted set by the time until which).
-- ARGV: the order, until when it has to be remembered or '', channel, verb; the name
-- by which a node knows that it obeyed it; for how long, in milliseconds, revocations
-- that are over are kept.
-- Answers its place.
local place = redis.call('XADD', KEYS[1], 'MAXLEN', '~', 100000, '*', 'o', ARGV[1], 'n', ARGV[5])
if ARGV[2] ~= '' then
  local time = redis.call('TIME')
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', time[1] * 1000 - tonumber(ARGV[6]))
  redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
end
redis.call(ARGV[4], ARGV[3], 'o')
return place
