-- Where a room's log ends, and who was last told to be there; a room that a node
-- has members of is kept.
-- KEYS: meta, log, state, who. ARGV: fresh, known epoch, known seq.
-- Answers {epoch, seq, head of the roll}.
local room = open(ARGV[1], ARGV[2], ARGV[3])
if redis.call('PTTL', KEYS[1]) < UNWRITTEN then
  for i = 1, 3 do
    redis.call('PEXPIRE', KEYS[i], UNWRITTEN)
  end
end
return { room.epoch, room.seq, redis.call('HGET', KEYS[4], '') }
