-- Note on a handle's record that it seems to be stolen, or that a record was changed. A record that is gone stays
-- gone, since a new hash would have no expiry.
--
-- KEYS[1]  the handle's hash
-- ARGV[1]  when, epoch seconds
-- ARGV[2]  the kind of the event
-- ARGV[3]  how many times
-- Returns  1 when it was noted, 0 when there is no record
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HINCRBY', KEYS[1], 'suspicions', ARGV[3])
redis.call('HSET', KEYS[1], 'suspected_at', ARGV[1], 'suspicion', ARGV[2])
return 1
