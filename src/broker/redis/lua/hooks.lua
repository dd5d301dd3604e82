-- Stands before the scripts that tell backends of something.
--
-- A hook is an endpoint that wants to be told of the room. Its events wait in a
-- stream with an entry for each: `f`, with which the id begins; `k`, its kind;
-- `u`, the user; `d`, what else there is.
--
-- UNTOLD is a hash with, for each stream that owes the room's state: under its
-- name, how many events were left out; under '?' and its name, from when on a roll
-- that lost its data is filled again.

-- How long, in milliseconds, what nobody takes away is kept.
local UNTAKEN = 604800000

local fresh_event, untold = '', ''
local hooks = {}
local told = 0

-- Reads the arguments from one on: what ids begin with, how many hooks, and for
-- each what it wants, a letter for each kind, and '1' if too many events wait.
-- UNTOLD and the streams are the keys from one on.
local function read_hooks(key, argument)
  fresh_event, untold = ARGV[argument], KEYS[key]
  for i = 1, tonumber(ARGV[argument + 1]) do
    hooks[i] = { stream = KEYS[key + i], wants = ARGV[argument + 2 * i],
      full = ARGV[argument + 2 * i + 1] == '1', dropped = 0 }
  end
  return argument + 2 + 2 * #hooks
end

local function append(stream, kind, user, data)
  redis.call('XADD', stream, '*', 'f', fresh_event, 'k', kind, 'u', user, 'd', data)
  redis.call('PEXPIRE', stream, UNTAKEN)
end

local function owe(field, value)
  redis.call('HSETNX', untold, field, value)
  redis.call('PEXPIRE', untold, UNTAKEN)
end

-- Tells of something, whoever wants to be told. Once an event of a room was left
-- out, so are those after it, until the room's state was told.
local function emit(kind, user, data)
  for _, hook in ipairs(hooks) do
    if hook.wants:find(kind, 1, true) then
      local owed = redis.call('HMGET', untold, hook.stream, '?' .. hook.stream)
      if hook.full or owed[1] then
        owe(hook.stream, 0)
        redis.call('HINCRBY', untold, hook.stream, 1)
        hook.dropped = hook.dropped + 1
      elseif kind == 'm' or not owed[2] then
        append(hook.stream, kind, user, data)
        told = told + 1
      end
    end
  end
end

-- How many events were told, and for each hook how many were left out.
local function report()
  local report = { told }
  for i, hook in ipairs(hooks) do
    report[i + 1] = hook.dropped
  end
  return report
end

-- Whether anybody wants to be told of this kind.
local function wanted(kind)
  for _, hook in ipairs(hooks) do
    if hook.wants:find(kind, 1, true) then
      return true
    end
  end
  return false
end
