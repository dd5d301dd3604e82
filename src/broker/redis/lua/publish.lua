-- Appends to a room's log and hands on, in one step.
-- KEYS: meta, log, state, nonce.
-- ARGV: channel, verb, payload; fresh, known epoch, known seq; entries, bytes,
-- age; how long the nonce is remembered, 0 where there is none; 'set' for a write
-- to the state, with its key, '1' if it has a value, the value, and the version
-- expected or ''; keys and bytes the state may have; for how long the room is to
-- be kept at least.
-- Answers {'appended' | 'duplicate', epoch, seq}, {'conflict', version, value}
-- or {'full'}.
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
      return { 'duplicate', room.epoch, seq }
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
    return { 'conflict', version, value }
  end
  if ARGV[13] == '1' then
    state = state + #key + #ARGV[14]
    local more = held and 0 or 1
    if redis.call('HLEN', KEYS[3]) + more > tonumber(ARGV[16]) or state > tonumber(ARGV[17]) then
      return { 'full' }
    end
  end
end

local at = now()
local first = room.seq == room.floor
room.seq = room.seq + 1
room.bytes = room.bytes + #payload
room.clock = math.max(room.clock, at)
if first then
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

-- What is kept is kept together, and for longer than any part of it has to be,
-- so that its time is not set at every write.
local keep = math.max(limit.age, dedup, tonumber(ARGV[18]))
local left = redis.call('PTTL', KEYS[1])
if left < keep or room.seq == 1 then
  left = keep + math.floor(keep / 4)
  redis.call('PEXPIRE', KEYS[1], left)
  redis.call('PEXPIRE', KEYS[2], left)
  redis.call('PEXPIRE', KEYS[3], left)
else
  if first then
    redis.call('PEXPIRE', KEYS[2], left)
  end
  if ARGV[11] == 'set' then
    redis.call('PEXPIRE', KEYS[3], left)
  end
end

redis.call(verb, channel, 'm ' .. room.epoch .. ' ' .. room.seq .. ' ' .. room.clock .. ' ' .. payload)
return { 'appended', room.epoch, room.seq }
