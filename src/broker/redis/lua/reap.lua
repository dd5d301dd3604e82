-- Takes the entries of a life that is over out of the roll of a room, and its
-- connections out of the count of a user.
-- KEYS: who, links. ARGV: channel, verb, life, fresh epoch.
local channel, verb, life, fresh = unpack(ARGV, 1, 4)
local gone = {}
local prefix = life .. '\0'
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if field:sub(1, #prefix) == prefix then
    redis.call('HDEL', KEYS[1], field)
    gone[#gone + 1] = { field:sub(#prefix + 1), cjson.null }
  end
end
redis.call('HDEL', KEYS[2], life)
if #gone > 0 then
  proclaim(channel, verb, fresh, cjson.encode({ life = life, entries = gone }))
end
return #gone
