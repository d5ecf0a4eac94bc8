-- Give a seat back, with the seconds of the call that were not used. Safe to repeat: a seat is given back once.
--
-- KEYS     as seat.lua has them, with the seconds of the day on which the seat was taken
-- ARGV[1]  the offer
-- ARGV[2]  the nonce of the claim that took the seat last; "" for any
-- ARGV[3]  seconds that the call lasted
-- Returns  1 when the seat was given back, 0 when there was none, or when it is another claim's
local had = redis.call('HGET', KEYS[2], ARGV[1])
if not had then
  return 0
end
local seconds, nonce = string.match(had, '^(%d+):(.*)$')
if ARGV[2] ~= '' and nonce ~= ARGV[2] then
  return 0
end
redis.call('HDEL', KEYS[2], ARGV[1])
local unused = string.format('%.0f', math.max(seconds - ARGV[3], 0))
for at = 1, #KEYS, 3 do
  redis.call('ZREM', KEYS[at], ARGV[1])
end
for _, counter in ipairs({KEYS[3], KEYS[5]}) do
  if redis.call('EXISTS', counter) == 1 and redis.call('DECRBY', counter, unused) <= 0 then
    redis.call('DEL', counter)
  end
end
return 1
