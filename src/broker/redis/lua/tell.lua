-- A node tells its entries in the roll of a room.
--
-- KEYS[1] is a hash from LIFE NUL USER to that node's entry. Under the empty
-- field stands its head, "EPOCH VERSION": each change raises the version by one,
-- so that who follows sees when it missed one.
-- ARGV: channel, verb, life, fresh epoch, the change as it is handed on, and for
-- each user its id and its entry, '' to take it away.
local channel, verb, life, fresh, change = unpack(ARGV, 1, 5)
local changed = 0
for i = 6, #ARGV, 2 do
  local field = life .. '\0' .. ARGV[i]
  if ARGV[i + 1] == '' then
    changed = changed + redis.call('HDEL', KEYS[1], field)
  else
    redis.call('HSET', KEYS[1], field, ARGV[i + 1])
    changed = changed + 1
  end
end
if changed > 0 then
  proclaim(channel, verb, fresh, change)
end
return changed
