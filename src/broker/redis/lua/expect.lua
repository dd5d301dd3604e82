-- Events of a room may come to wait from now on.
-- KEYS: expected (sorted set of rooms by when that was said last). ARGV: the room,
-- how long the set is kept.
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
