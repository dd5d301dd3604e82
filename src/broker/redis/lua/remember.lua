-- A node knows revocations that Redis does not know any more.
-- KEYS: orders (stream), revoked (sorted set by the time until which).
-- ARGV: channel, verb, '1' if these are the last ones, how many of those before were
-- new; for each the time until which, and the order.
-- Answers how many were new. If any were, all nodes are told to read them.
local added = tonumber(ARGV[4])
for i = 5, #ARGV, 2 do
  added = added + redis.call('ZADD', KEYS[2], 'NX', ARGV[i], ARGV[i + 1])
end
if ARGV[3] == '1' and added > 0 then
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', 100000, '*', 'm', 'recall')
  redis.call(ARGV[2], ARGV[1], 'o')
end
return added
