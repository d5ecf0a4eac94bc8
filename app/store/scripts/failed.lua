-- Count a hang-up that failed on the call's record, and keep why. A record that is gone stays gone, since a new hash
-- would have no expiry.
--
-- KEYS[1]  the call's hash
-- ARGV[1]  the error's code
-- Returns  how often it has failed; 0 without a record
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'last_hangup_failure', ARGV[1])
return redis.call('HINCRBY', KEYS[1], 'hangup_failures', 1)
