-- Takes the entries of a life that is over out of the roll of a room, and its
-- connections out of the count of a user.
-- KEYS: who, lives, untold, streams of hooks, links. ARGV: channel, verb, life,
-- fresh epoch, the hooks.
-- Answers {how many entries there were, report}.
local channel, verb, life, fresh = unpack(ARGV, 1, 4)
read_hooks(3, 5)
local gone, went = {}, {}
local prefix = life .. '\0'
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if field:sub(1, #prefix) == prefix then
    redis.call('HDEL', KEYS[1], field)
    went[#went + 1] = field:sub(#prefix + 1)
    gone[#gone + 1] = { went[#went], cjson.null }
  end
end
redis.call('HDEL', KEYS[#KEYS], life)
if #gone > 0 then
  reseat(KEYS[2], life, {}, went)
  redis.call('HDEL', KEYS[2], life)
  proclaim(channel, verb, fresh, cjson.encode({ life = life, entries = gone }))
end
return { #gone, report() }
