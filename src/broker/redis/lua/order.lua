-- Something that holds for all nodes.
-- KEYS: orders (stream), revoked (sorted set by the time until which).
-- ARGV: the order, until when it has to be remembered or '', channel, verb.
redis.call('XADD', KEYS[1], 'MAXLEN', '~', 100000, '*', 'o', ARGV[1])
if ARGV[2] ~= '' then
  redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
end
redis.call(ARGV[4], ARGV[3], 'o')
return 1
