-- Note fields on a call's record: its end, for instance. The first note of the first field stays, with those
-- beside it, so a repeat changes nothing. A record that is gone stays gone, since a new hash would have no
-- expiry.
--
-- KEYS[1]  the call's hash
-- ARGV     a field, its value, and so on
-- Returns  1 when the note is new, 0 when there was one, or no record
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then
  return 0
end
if ARGV[3] then
  redis.call('HSET', KEYS[1], unpack(ARGV, 3))
end
return 1
