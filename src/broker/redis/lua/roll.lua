-- Stands before the scripts that change the roll of a room.

-- How long, in milliseconds, the head of a roll without entries is kept.
local EMPTY = 3600000

-- The epoch of the roll and its version; no epoch where there was never a change.
local function head()
  local head = redis.call('HGET', KEYS[1], '')
  if not head then
    return nil, 0
  end
  local epoch, version = head:match('^(%x+) (%d+)$')
  return epoch, tonumber(version)
end

-- Raises the version, and hands the change on under it.
local function proclaim(channel, verb, fresh, change)
  local epoch, version = head()
  epoch, version = epoch or fresh, version + 1
  redis.call('HSET', KEYS[1], '', epoch .. ' ' .. version)
  if redis.call('HLEN', KEYS[1]) == 1 then
    redis.call('PEXPIRE', KEYS[1], EMPTY)
  else
    redis.call('PERSIST', KEYS[1])
  end
  redis.call(verb, channel, 'p ' .. epoch .. ' ' .. version .. ' ' .. change)
end
