-- Somebody else is to deliver events.
-- KEYS: deliverer. ARGV: who does not any more.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
