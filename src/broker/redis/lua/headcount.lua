-- Counts the users of a room.
-- KEYS: who. ARGV: up to how many entries are looked at one by one.
-- Answers how many users have an entry; of a larger room how many entries there
-- are, in which a user of several nodes counts for each.
local entries = redis.call('HLEN', KEYS[1])
if entries > tonumber(ARGV[1]) then
  return entries - 1
end
local seen, count = {}, 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local user = field:match('%z(.*)$')
  if user and not seen[user] then
    seen[user] = true
    count = count + 1
  end
end
return count
