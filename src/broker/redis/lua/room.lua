-- Stands before every script of a room's log.
--
-- KEYS[1] is a hash with what is known of the log: `epoch`; `born`, the epoch
-- its present data began with; `seq`, its end; `floor`, the place before its
-- oldest entry; `bytes` of its entries; `oldest`, the time of the oldest;
-- `clock`, the newest time given; `state`, the bytes of the shared state;
-- `seen`, how far an inbox was read.
-- KEYS[2] is a stream with an entry `SEQ-0` for each message.
-- KEYS[3] is a hash from each key of the state to "VERSION VALUE".

-- A room that was never written to keeps its epoch for so long, in milliseconds.
local UNWRITTEN = 300000

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The room as it is. One that is not there is begun under the epoch `fresh`. One
-- that ends before a place this node knows has lost what was there: its places
-- after that are about to be given anew, so it goes on under `fresh` too.
local function open(fresh, known_epoch, known_seq)
  local field = redis.call('HMGET', KEYS[1], 'epoch', 'born', 'seq', 'floor', 'bytes',
    'oldest', 'clock', 'state', 'seen')
  local room = { epoch = field[1], born = field[2] }
  for i, name in ipairs({ 'seq', 'floor', 'bytes', 'oldest', 'clock', 'state', 'seen' }) do
    room[name] = tonumber(field[i + 2]) or 0
  end
  if not room.epoch then
    room.epoch, room.born = fresh, fresh
    redis.call('DEL', KEYS[2], KEYS[3])
    redis.call('HSET', KEYS[1], 'epoch', fresh, 'born', fresh)
    redis.call('PEXPIRE', KEYS[1], UNWRITTEN)
  elseif room.epoch == known_epoch and room.seq < tonumber(known_seq) then
    room.epoch = fresh
    redis.call('HSET', KEYS[1], 'epoch', fresh)
  end
  return room
end

-- Lets the oldest entries go until the log is within its bounds; only where it
-- is over them by `slack` entries, so that a busy log is not cut at every write.
local function trim(room, at, limit, slack)
  local length = room.seq - room.floor
  local fits = length <= limit.entries + slack and room.bytes <= limit.bytes
  if length == 0 or (fits and room.oldest + limit.age > at) then
    return
  end
  local done = false
  while not done do
    local batch = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 64)
    if #batch == 0 then
      -- Nothing is left, or Redis was short of memory and took the entries away.
      room.floor, room.bytes = room.seq, 0
      break
    end
    for _, entry in ipairs(batch) do
      local time, size = tonumber(entry[2][2]), #entry[2][4]
      local over = room.seq - room.floor > limit.entries or room.bytes > limit.bytes
      if over or time + limit.age <= at then
        room.floor = tonumber(entry[1]:match('^%d+'))
        room.bytes = math.max(0, room.bytes - size)
      else
        room.oldest, done = time, true
        break
      end
    end
    redis.call('XTRIM', KEYS[2], 'MINID', (room.floor + 1) .. '-0')
  end
  redis.call('HSET', KEYS[1], 'floor', room.floor, 'bytes', room.bytes, 'oldest', room.oldest)
end

-- Entries after a place, to the end; nothing where they are not all there.
local function after(room, seq)
  if seq >= room.seq then
    return {}
  end
  local entries = redis.call('XRANGE', KEYS[2], (seq + 1) .. '-0', '+')
  return #entries == room.seq - seq and entries or nil
end

-- The newest entries, at most so many.
local function newest(room, count)
  local entries = {}
  if count > 0 then
    local found = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', count)
    for i = #found, 1, -1 do
      entries[#entries + 1] = found[i]
    end
  end
  return entries
end
