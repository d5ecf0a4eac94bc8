-- Write a hash and its expiry in one step, so that no crash leaves a record without an end.
--
-- KEYS[1]  the hash
-- ARGV[1]  its life, milliseconds
-- ARGV[2]  field, ARGV[3] value, and so on
-- Returns  1
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
