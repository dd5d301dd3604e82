-- A node is alive, and wants to know who else is.
-- KEYS: lives (hash from life to its beat), dying (set of lives to be reaped),
-- orders (stream). ARGV: life, beat, the last order known, '' to hear of none.
-- Answers {whether the life is still counted, lives, dying, orders since}.
local life, beat, known = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if beat > 1 and redis.call('HEXISTS', KEYS[1], life) == 0 then
  return { 0, {}, {}, {} }
end
redis.call('HSET', KEYS[1], life, beat)
local orders = {}
if known ~= '' then
  orders = redis.call('XRANGE', KEYS[3], '(' .. known, '+', 'COUNT', 1000)
end
return { 1, redis.call('HGETALL', KEYS[1]), redis.call('SMEMBERS', KEYS[2]), orders }
