-- Appends to a room's log and hands on, in one step.
-- KEYS: meta, log, state, nonce, untold, streams of hooks.
-- ARGV: channel, verb, payload; fresh, known epoch, known seq; entries, bytes,
-- age; how long the nonce is remembered, 0 where there is none; 'set' for a write
-- to the state, with its key, '1' if it has a value, the value, and the version
-- expected or ''; keys and bytes the state may have; for how long the room is to
-- be kept at least, and for how long if it has state; the hooks.
-- Answers in one text, which is read for every message and takes less than a list:
-- 'appended EPOCH SEQ REPORT', 'duplicate EPOCH SEQ', 'conflict VERSION VALUE',
-- without a value where there is none, or 'full'.
local channel, verb, payload, fresh, known_epoch, known_seq = unpack(ARGV, 1, 6)
local limit = { entries = tonumber(ARGV[7]), bytes = tonumber(ARGV[8]), age = tonumber(ARGV[9]) }
local dedup = tonumber(ARGV[10])

local room = open(fresh, known_epoch, known_seq)

-- A retry is found before its condition is looked at: the write it repeats is
-- what changed the version.
if dedup > 0 then
  local earlier = redis.call('GET', KEYS[4])
  if earlier then
    local born, seq = earlier:match('^(%x+) (%d+)$')
    if born == room.born and tonumber(seq) <= room.seq then
      return 'duplicate ' .. room.epoch .. ' ' .. seq
    end
  end
end

local state = room.state
if ARGV[11] == 'set' then
  local key, expected = ARGV[12], ARGV[15]
  local held = redis.call('HGET', KEYS[3], key)
  local version, value = '0', false
  if held then
    version, value = held:match('^(%d+) (.*)$')
    state = state - #key - #value
  end
  if expected ~= '' and tonumber(expected) ~= tonumber(version) then
    return 'conflict ' .. version .. (value and ' ' .. value or '')
  end
  if ARGV[13] == '1' then
    state = state + #key + #ARGV[14]
    local more = held and 0 or 1
    if redis.call('HLEN', KEYS[3]) + more > tonumber(ARGV[16]) or state > tonumber(ARGV[17]) then
      return 'full'
    end
  end
end

local at = now()
room.seq = room.seq + 1
room.bytes = room.bytes + #payload
room.clock = math.max(room.clock, at)
if room.seq == room.floor + 1 then
  room.oldest = room.clock
end
redis.call('XADD', KEYS[2], room.seq .. '-0', 't', room.clock, 'd', payload)
redis.call('HSET', KEYS[1], 'seq', room.seq, 'bytes', room.bytes, 'oldest', room.oldest,
  'clock', room.clock, 'state', state)
if ARGV[11] == 'set' then
  if ARGV[13] == '1' then
    redis.call('HSET', KEYS[3], ARGV[12], room.seq .. ' ' .. ARGV[14])
  else
    redis.call('HDEL', KEYS[3], ARGV[12])
  end
end
if dedup > 0 then
  redis.call('SET', KEYS[4], room.born .. ' ' .. room.seq, 'PX', dedup)
end
trim(room, at, limit, 16 + math.floor(limit.entries / 8))

-- Keeps a key for longer than it has to be, so that its time is not set at every
-- write.
local function keep(key, time)
  if redis.call('PTTL', key) < time or room.seq == 1 then
    redis.call('PEXPIRE', key, time + math.floor(time / 4))
  end
end

-- Where the log ends, and what the versions of the state are, is kept as long as
-- any of it; the entries no longer than they have to be.
local whole = math.max(limit.age, dedup, tonumber(ARGV[18]))
keep(KEYS[2], whole)
if state > 0 then
  whole = math.max(whole, tonumber(ARGV[19]))
  keep(KEYS[3], whole)
end
keep(KEYS[1], whole)

redis.call(verb, channel, 'm ' .. room.epoch .. ' ' .. room.seq .. ' ' .. room.clock .. ' ' .. payload)
read_hooks(5, 20)
if #hooks > 0 then
  emit('m', '', room.epoch .. ' ' .. room.seq .. ' ' .. room.clock .. ' ' .. payload)
end
return 'appended ' .. room.epoch .. ' ' .. room.seq .. ' ' .. table.concat(report(), ' ')
