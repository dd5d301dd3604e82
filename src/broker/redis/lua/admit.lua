-- A user opens a connection on a node.
-- KEYS: links (hash from life to how many connections it has of the user).
-- ARGV: life, how many it then has, how many all may have.
-- Answers how many the others have, or -1 where they are too many.
local others = 0
local links = redis.call('HGETALL', KEYS[1])
for i = 1, #links, 2 do
  if links[i] ~= ARGV[1] then
    others = others + tonumber(links[i + 1])
  end
end
if others + tonumber(ARGV[2]) > tonumber(ARGV[3]) then
  return -1
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return others
