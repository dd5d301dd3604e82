-- A node is alive, and wants to know who else is.
-- KEYS: lives (hash from life to its beat), dying (set of lives to be reaped),
-- orders (stream), revoked (sorted set). ARGV: life, beat; the last order known, ''
-- to hear of none; the last order this node gave and did not hear yet, or ''; the
-- order this node began to hear after; the epoch of the revocations as known.
-- Answers {whether the life is still counted, lives, dying, orders since,
-- what became of the orders, epoch of the revocations}.
--
-- Of the orders is said 'cut' if some after the last known one were trimmed, and
-- 'lost' if Redis lost some that it had taken. Else nothing.
local life, beat, known, given, began = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
if beat > 1 and redis.call('HEXISTS', KEYS[1], life) == 0 then
  return { 0, {}, {}, {}, '', '' }
end
redis.call('HSET', KEYS[1], life, beat)
local orders, fate, epoch = {}, '', ''
if known ~= '' then
  -- The epoch has the highest score of all.
  local top = redis.call('ZRANGE', KEYS[4], -1, -1)[1]
  if top and top:sub(1, 1) == '#' then
    epoch = top
  end
  orders = redis.call('XRANGE', KEYS[3], known, '+', 'COUNT', 1001)
  if orders[1] and orders[1][1] == known then
    table.remove(orders, 1)
    if given ~= '' and #redis.call('XRANGE', KEYS[3], given, given) == 0 then
      fate = 'lost'
    end
  elseif epoch == ARGV[6] and #redis.call('XRANGE', KEYS[3], '-', known, 'COUNT', 1) == 0 then
    fate = 'cut'
  else
    fate = 'lost'
  end
  if fate == 'lost' then
    -- The clock of another master may give lower places than the former one did. What
    -- was obeyed already is known by its name.
    orders = {}
    local newest = redis.call('XREVRANGE', KEYS[3], '+', '(' .. began, 'COUNT', 1000)
    for i = #newest, 1, -1 do
      orders[#orders + 1] = newest[i]
    end
  end
  if fate ~= '' and #orders == 0 then
    -- The place to go on from.
    orders[1] = { redis.call('XADD', KEYS[3], '*', 'm', 'begun'), { 'm', 'begun' } }
  end
end
return { 1, redis.call('HGETALL', KEYS[1]), redis.call('SMEMBERS', KEYS[2]), orders, fate, epoch }
