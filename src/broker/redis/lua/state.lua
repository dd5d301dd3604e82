-- Reads the state of a room.
-- KEYS: meta, log, state. ARGV: fresh, known epoch, known seq; the rest is not used.
-- Answers {epoch, seq, state}, or nothing where there is no room.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return false
end
local room = open(ARGV[1], ARGV[2], ARGV[3])
return { room.epoch, room.seq, redis.call('HGETALL', KEYS[3]) }
