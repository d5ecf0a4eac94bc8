-- Take a seat for a call that is about to be made: one of those that a client, and one of its subjects, may have at
-- once, and the seconds that the call may last of those that are left for today. The same offer has one seat,
-- however often it is relayed. A seat whose time is over frees itself here.
--
-- KEYS[1]  the client's seats, a sorted set: the offer, by the time at which its seat ends
-- KEYS[2]  what each seat was given, a hash: the offer, "<seconds>:<nonce>"
-- KEYS[3]  the client's seconds of today
-- KEYS[4]  the subject's seats, and KEYS[5] its seconds of today; absent where the call has no subject
-- ARGV[1]  the offer
-- ARGV[2]  the nonce of the claim that asks
-- ARGV[3]  how long the seat lasts until the call is confirmed, milliseconds
-- ARGV[4]  seconds that the call may last at most
-- ARGV[5]  fewer seconds than this are of no use
-- ARGV[6]  seats of the client, ARGV[7] seats of the subject, "0" for no limit
-- ARGV[8]  seconds a day of the client, ARGV[9] of the subject, "0" for no limit
-- Returns  {"new", <seconds>}     the seat was taken
--          {"kept", <seconds>}    the offer had it; it is now this claim's
--          {"client", <milliseconds until a seat frees itself>}, or {"subject", ...}
--          {"client_seconds"}, or {"subject_seconds"}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = now + ARGV[3]
local day = 172800
local life = string.format('%.0f', ARGV[3] + day * 1000)

local function text(number)
  return string.format('%.0f', number)
end

local function sweep(seats)
  local over = redis.call('ZRANGEBYSCORE', seats, '-inf', text(now), 'LIMIT', 0, 1000)
  for _, offer in ipairs(over) do
    redis.call('ZREM', seats, offer)
    redis.call('HDEL', KEYS[2], offer)
  end
end

local function full(seats, most)
  if most == 0 or redis.call('ZCARD', seats) < most then
    return nil
  end
  local first = redis.call('ZRANGE', seats, 0, 0, 'WITHSCORES')
  return text(math.max(first[2] - now, 0))
end

local function take(seats)
  redis.call('ZADD', seats, text(ends), ARGV[1])
  redis.call('PEXPIRE', seats, life)
end

sweep(KEYS[1])
if KEYS[4] then
  sweep(KEYS[4])
end
local had = redis.call('HGET', KEYS[2], ARGV[1])
if had and redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  local seconds = string.match(had, '^%d+')
  redis.call('HSET', KEYS[2], ARGV[1], seconds .. ':' .. ARGV[2])
  if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1])) < ends then
    take(KEYS[1])
    if KEYS[4] then
      take(KEYS[4])
    end
  end
  return {'kept', seconds}
end
local wait = full(KEYS[1], tonumber(ARGV[6]))
if wait then
  return {'client', wait}
end
if KEYS[4] then
  wait = full(KEYS[4], tonumber(ARGV[7]))
  if wait then
    return {'subject', wait}
  end
end
local seconds = tonumber(ARGV[4])
local function left(counter, most)
  return most - tonumber(redis.call('GET', counter) or 0)
end
if tonumber(ARGV[8]) > 0 then
  seconds = math.min(seconds, left(KEYS[3], tonumber(ARGV[8])))
  if seconds < tonumber(ARGV[5]) then
    return {'client_seconds'}
  end
end
if KEYS[5] and tonumber(ARGV[9]) > 0 then
  seconds = math.min(seconds, left(KEYS[5], tonumber(ARGV[9])))
  if seconds < tonumber(ARGV[5]) then
    return {'subject_seconds'}
  end
end
take(KEYS[1])
redis.call('HSET', KEYS[2], ARGV[1], text(seconds) .. ':' .. ARGV[2])
redis.call('PEXPIRE', KEYS[2], life)
redis.call('INCRBY', KEYS[3], text(seconds))
redis.call('EXPIRE', KEYS[3], day)
if KEYS[4] then
  take(KEYS[4])
  redis.call('INCRBY', KEYS[5], text(seconds))
  redis.call('EXPIRE', KEYS[5], day)
end
return {'new', text(seconds)}
