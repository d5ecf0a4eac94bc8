-- Note on a call's record that the call is over. The first note stays, so a repeat changes nothing. A record
-- that is gone stays gone, since a new hash would have no expiry.
--
-- KEYS[1]  the call's hash
-- ARGV[1]  when it ended, epoch seconds
-- ARGV[2]  the replica that ended it
-- Returns  1 when the note is new, 0 when there was one, or no record
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
if redis.call('HSETNX', KEYS[1], 'ended_at', ARGV[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'ended_by', ARGV[2])
return 1
