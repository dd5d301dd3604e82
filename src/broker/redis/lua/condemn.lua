-- A life is over, if it did not beat again since.
-- KEYS: lives, dying. ARGV: life, its beat as seen.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[1])
return 1
