-- Events were delivered.
-- KEYS: stream. ARGV: their places in it. Answers how many are left.
redis.call('XDEL', KEYS[1], unpack(ARGV))
local left = redis.call('XLEN', KEYS[1])
if left == 0 then
  redis.call('DEL', KEYS[1])
end
return left
