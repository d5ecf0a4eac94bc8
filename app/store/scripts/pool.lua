-- What stands before each of the scripts pool_*.lua: how a model's warm pool is kept.
--
-- KEYS[1]  the stock, a sorted set of "<shape>|<good until>|<id>": all scores are 0, so the members are in the order
--          of their texts. A key is handed out until <good until>, 13 digits: milliseconds of this server's clock
-- KEYS[2]  the keys in stock, a hash: the same member, "<end of its life> <sealed> <deployment>"
-- KEYS[3]  the marks, a sorted set of "<shape>|<id>": the keys that are being minted, by the time at which each
--          counts as lost
-- KEYS[4]  the shapes, a hash: the shape, "<last take> <takes> <serves> <span> <a> <b>". <takes> came no further
--          apart than <serves>, milliseconds; <a> and <b> are the takes and the mints of 10 seconds each, the last
--          ones first, separated by commas; the first of them is of the span <span>
-- KEYS[5]  the bill, a hash: minted, used, wasted and lost; and minted_<n> and wasted_<n>, of ten minutes each
local DAY = 86400000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local span, decade = math.floor(now / 10000), math.floor(now / 600000)
local swept = {0, 0}

local function text(number)
  return string.format('%.0f', number)
end

local function charge(outcome, number)
  redis.call('HINCRBY', KEYS[5], outcome, number)
  if outcome == 'minted' or outcome == 'wasted' then
    redis.call('HINCRBY', KEYS[5], outcome .. '_' .. text(decade), number)
  end
  redis.call('PEXPIRE', KEYS[5], text(30 * DAY))
end

-- The two ends of what ZRANGEBYLEX finds of a shape: all, or what is good, or what is too old.
local function range(shape)
  local begin, moment = shape .. '|', shape .. '|' .. text(now)
  return {begin = '[' .. begin, moment = '[' .. moment, before = '(' .. moment, finish = '(' .. shape .. '}'}
end

local function throw_away(members)
  for _, member in ipairs(members) do
    redis.call('ZREM', KEYS[1], member)
    redis.call('HDEL', KEYS[2], member)
  end
  if #members > 0 then
    charge('wasted', #members)
    swept[1] = swept[1] + #members
  end
end

local function sweep(shape)
  local ends = range(shape)
  throw_away(redis.call('ZRANGEBYLEX', KEYS[1], ends.begin, ends.before))
end

local function sweep_all()
  local old = {}
  for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    if tonumber(string.match(member, '|(%d+)|')) <= now then
      old[#old + 1] = member
    end
  end
  throw_away(old)
end

-- The marks that are left, once those whose replica died are gone.
local function marks()
  local dead = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', text(now))
  for _, mark in ipairs(dead) do
    redis.call('ZREM', KEYS[3], mark)
  end
  if #dead > 0 then
    charge('lost', #dead)
    swept[2] = swept[2] + #dead
  end
  return redis.call('ZRANGE', KEYS[3], 0, -1)
end

local function pending(left, shape)
  local found, begin = 0, shape .. '|'
  for _, mark in ipairs(left) do
    if string.sub(mark, 1, #begin) == begin then
      found = found + 1
    end
  end
  return found
end

local function numbers(list)
  local found = {}
  for number in string.gmatch(list, '%d+') do
    found[#found + 1] = tonumber(number)
  end
  return found
end

-- A list of counts, the last one first, as it looks some spans later.
local function moved(list, spans, most)
  if spans >= most then
    return {0}
  end
  for _ = 1, spans do
    table.insert(list, 1, 0)
  end
  for at = #list, most + 1, -1 do
    list[at] = nil
  end
  return list
end

local function sum(list, most)
  local total = 0
  for at = 1, math.min(#list, most) do
    total = total + list[at]
  end
  return total
end

local function new_shape(serves)
  return {last = now, takes = 0, serves = tonumber(serves), wanted = {0}, minted = {0}}
end

local function read_shape(kept)
  local last, takes, serves, at, wanted, minted = string.match(kept, '^(%d+) (%d+) (%d+) (%d+) ([%d,]+) ([%d,]+)$')
  if not last then
    return nil
  end
  -- Not less than 0: a failover may lead to a server whose clock is behind.
  local spans = math.max(span - at, 0)
  return {
    last = tonumber(last), takes = tonumber(takes), serves = tonumber(serves),
    wanted = moved(numbers(wanted), spans, 30), minted = moved(numbers(minted), spans, 7)
  }
end

local function shape_of(shape)
  local kept = redis.call('HGET', KEYS[4], shape)
  return kept and read_shape(kept)
end

local function keep_shape(shape, found)
  redis.call('HSET', KEYS[4], shape, table.concat({text(found.last), text(found.takes), text(found.serves), text(span),
    table.concat(found.wanted, ','), table.concat(found.minted, ',')}, ' '))
  redis.call('PEXPIRE', KEYS[4], text(DAY))
end

-- {<stock>, <pending>, <takes in a minute>, <in five>, <takes>, <milliseconds since the last one>, <serves>}
local function level(shape, found, left)
  local ends = range(shape)
  return {redis.call('ZLEXCOUNT', KEYS[1], ends.moment, ends.finish), pending(left, shape), sum(found.wanted, 6),
    sum(found.wanted, 30), found.takes, math.max(now - found.last, 0), found.serves}
end

-- {<minted>, <used>, <wasted>, <lost>, <minted within an hour>, <wasted within an hour>}
local function bill()
  local total, hour = {minted = 0, used = 0, wasted = 0, lost = 0}, {minted = 0, wasted = 0}
  local kept = redis.call('HGETALL', KEYS[5])
  for at = 1, #kept, 2 do
    local outcome, number = string.match(kept[at], '^(%l+)_(%d+)$')
    if not outcome then
      total[kept[at]] = tonumber(kept[at + 1])
    elseif tonumber(number) <= decade - 7 then
      redis.call('HDEL', KEYS[5], kept[at])
    else
      hour[outcome] = hour[outcome] + tonumber(kept[at + 1])
    end
  end
  return {total.minted, total.used, total.wasted, total.lost, hour.minted, hour.wasted}
end
