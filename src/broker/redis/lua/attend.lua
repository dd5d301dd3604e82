-- A node is about to read the standing revocations, and to hear orders from then on.
-- KEYS: orders (stream), revoked (sorted set by the time until which).
-- ARGV: a fresh epoch; for how long, in milliseconds, revocations that are over are kept.
-- Answers {the place of the last order, epoch of the revocations}.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
-- An empty stream has no place whose loss could be seen.
local place = last and last[1] or redis.call('XADD', KEYS[1], '*', 'm', 'begun')
local time = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', time[1] * 1000 - tonumber(ARGV[2]))
-- The epoch stands among the revocations themselves, so that it is lost with them.
local epoch = redis.call('ZRANGE', KEYS[2], -1, -1)[1]
if not epoch or epoch:sub(1, 1) ~= '#' then
  epoch = '#' .. ARGV[1]
  redis.call('ZADD', KEYS[2], '+inf', epoch)
end
return { place, epoch }
