-- A node tells its entries in the roll of a room.
--
-- KEYS: who, lives, untold, streams of hooks. KEYS[1] is a hash from LIFE NUL USER
-- to that node's entry. Under the empty field stands its head, "EPOCH VERSION":
-- each change raises the version by one, so that who follows sees when it missed
-- one.
-- ARGV: channel, verb, life, fresh epoch, the change as it is handed on; the epoch
-- and the version this node's process last saw while it had entries here, '' and 0
-- where it had none; '1' if Redis lost data just now; until when, in milliseconds
-- from now, such a roll is filled again; the hooks; and for each user its id and its
-- entry, '' to take it away.
-- Answers {how many entries changed, how many this life has, epoch, version,
-- report}.
local channel, verb, life, fresh, change = unpack(ARGV, 1, 5)
local first = read_hooks(3, 10)

-- A roll that is not the one that was known, grown on, has lost its data, and so
-- has what backends were told of it.
local epoch, version = head()
local known = ARGV[6] ~= '' and (ARGV[6] ~= epoch or tonumber(ARGV[7]) > version)
if known or (ARGV[8] == '1' and not epoch) then
  local time = redis.call('TIME')
  local filled = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[9])
  for _, hook in ipairs(hooks) do
    owe('?' .. hook.stream, filled)
  end
end

local changed, came, went = 0, {}, {}
for i = first, #ARGV, 2 do
  local user, entry = ARGV[i], ARGV[i + 1]
  local field = life .. '\0' .. user
  if entry ~= '' then
    if redis.call('HSET', KEYS[1], field, entry) == 1 then
      came[#came + 1] = user
    end
    changed = changed + 1
  elseif redis.call('HDEL', KEYS[1], field) == 1 then
    went[#went + 1] = user
    changed = changed + 1
  end
end
reseat(KEYS[2], life, came, went)
if changed > 0 then
  proclaim(channel, verb, fresh, change)
end
epoch, version = head()
return { changed, tonumber(redis.call('HGET', KEYS[2], life) or 0), epoch or '', version,
  report() }
