-- Count a handle that is about to be minted among those that a client has at once.
--
-- KEYS[1]  the client's handles, a sorted set: the handle's id, by the time at which it expires
-- ARGV[1]  the id
-- ARGV[2]  how long it counts, milliseconds
-- ARGV[3]  how many there may be; "0": the id counts in any case
-- Returns  {1, 0} when it counts, {0, <milliseconds until a handle expires>} when there are too many
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
local most = tonumber(ARGV[3])
if most > 0 and redis.call('ZCARD', KEYS[1]) >= most then
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return {0, string.format('%.0f', math.max(first[2] - now, 0))}
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return {1, 0}
