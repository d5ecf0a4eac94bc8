-- Register a call and its expiry in one step.
--
-- KEYS[1]  the call's hash
-- ARGV[1]  its retention, milliseconds
-- ARGV[2]  and so on: the fields below, in their order
-- Returns  1
redis.call('HSET', KEYS[1], 'handle', ARGV[2], 'deployment', ARGV[3], 'model', ARGV[4], 'client', ARGV[5],
  'subject', ARGV[6], 'relayed_at', ARGV[7], 'relayed_by', ARGV[8])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
