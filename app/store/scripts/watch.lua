-- Begin to watch a metered call that was taken, or to go on with it after another watcher.
--
-- Each watcher has a turn. Only the last one's sums and record count, so a watcher that stood still while another
-- took over changes nothing.
--
-- KEYS[1]  the call's sums, a hash
-- KEYS[2]  the watches, in the same slot of a Cluster
-- ARGV[1]  the call's entry there
-- ARGV[2]  how long the sums must last from now, milliseconds
-- Returns  {<field>, <value>, and so on}: the sums with "turn", and with "released" where the last watcher left in
--          order; {} where the call's record was written
if redis.call('HEXISTS', KEYS[1], 'written') == 1 then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return {}
end
redis.call('HINCRBY', KEYS[1], 'turn', 1)
local sums = redis.call('HGETALL', KEYS[1])
redis.call('HDEL', KEYS[1], 'released')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return sums
