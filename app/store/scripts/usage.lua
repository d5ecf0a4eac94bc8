-- Write the usage record of a call, and end its watch: all or nothing, so there is one record of each call. A
-- repeat changes nothing.
--
-- KEYS[1]  the call's sums, a hash; see watch.lua
-- KEYS[2]  the watches
-- KEYS[3]  the stream; all three in one slot of a Cluster
-- ARGV[1]  the watcher's turn
-- ARGV[2]  the call's entry among the watches
-- ARGV[3]  how many records the stream keeps, about
-- ARGV[4]  how long it is remembered that the record was written, milliseconds: longer than any write is repeated
-- ARGV[5]  and so on: a field of the record, its value
-- Returns  1 when the record is new; 0 where it was written, or another watcher has the call
if redis.call('HGET', KEYS[1], 'turn') ~= ARGV[1] then
  return 0
end
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], '*', unpack(ARGV, 5))
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'written', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('ZREM', KEYS[2], ARGV[2])
return 1
