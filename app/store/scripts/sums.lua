-- Keep what a metered call has used so far. Safe to repeat: the values are sums.
--
-- KEYS[1]  the call's sums, a hash; see watch.lua
-- ARGV[1]  the watcher's turn
-- ARGV[2]  and so on: a field, its value
-- Returns  1; 0 where another watcher has the call now, or its record is written
if redis.call('HGET', KEYS[1], 'turn') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return 1
