-- The events of a room that wait for one endpoint, oldest first. Where something
-- was left out, and there is place for it, the room's state comes behind them.
-- KEYS: who, untold, stream. ARGV: the hook, how many events at most, of how many
-- users the names are told.
-- Answers {how many wait, whether the room's state is owed, events}.
local last = read_hooks(2, 1)
local stream = KEYS[3]
local owed = redis.call('HMGET', untold, stream, '?' .. stream)
if owed[2] then
  local time = redis.call('TIME')
  if time[1] * 1000 + math.floor(time[2] / 1000) >= tonumber(owed[2]) then
    redis.call('HDEL', untold, '?' .. stream)
    owe(stream, 0)
    owed = { owed[1] or '0', false }
  end
end
if owed[1] and not owed[2] and not hooks[1].full then
  local users, count = {}, 0
  local seen = {}
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    local user = field:match('%z(.*)$')
    if user and not seen[user] then
      seen[user] = true
      count = count + 1
      users[count] = user
    end
  end
  local state = { lost = tonumber(owed[1]), count = count }
  if count > 0 and count <= tonumber(ARGV[last + 1]) then
    state.members = users
  end
  append(stream, 'r', '', cjson.encode(state))
  redis.call('HDEL', untold, stream)
  owed[1] = false
end
return { redis.call('XLEN', stream), (owed[1] or owed[2]) and 1 or 0,
  redis.call('XRANGE', stream, '-', '+', 'COUNT', ARGV[last]) }
