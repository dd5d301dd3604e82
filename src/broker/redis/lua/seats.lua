-- Stands before the scripts that change the roll of a room, behind `roll.lua`
-- and `hooks.lua`: who came and went, whichever node had them.
--
-- LIVES is a hash from each life to how many entries it has in the roll.

-- Whether a life other than this one has the user too.
local function is_elsewhere(lives, life, user)
  for _, other in ipairs(redis.call('HKEYS', lives)) do
    if other ~= life and redis.call('HEXISTS', KEYS[1], other .. '\0' .. user) == 1 then
      return true
    end
  end
  return false
end

-- Tells what follows from entries of a life that are new and those that are gone.
-- Who came is told first: the room was never empty in between.
local function reseat(lives, life, came, went)
  if #came + #went == 0 then
    return
  end
  local mine = redis.call('HINCRBY', lives, life, #came - #went)
  if mine <= 0 then
    redis.call('HDEL', lives, life)
  end
  if #hooks == 0 then
    return
  end
  local entries = redis.call('HLEN', KEYS[1]) - redis.call('HEXISTS', KEYS[1], '')
  if #came > 0 and entries + #went == #came then
    emit('o', '', '')
  end
  if wanted('j') then
    for _, user in ipairs(came) do
      if not is_elsewhere(lives, life, user) then
        emit('j', user, '')
      end
    end
  end
  if wanted('l') then
    for _, user in ipairs(went) do
      if not is_elsewhere(lives, life, user) then
        emit('l', user, '')
      end
    end
  end
  if #went > 0 and entries == 0 then
    emit('v', '', '')
  end
end
