-- Register a call and its expiry in one step.
--
-- KEYS[1]  the call's hash
-- ARGV[1]  its retention, milliseconds
-- ARGV[2]  and so on: the fields below, in their order
-- Returns  1
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'handle', ARGV[3], 'deployment', ARGV[4], 'model', ARGV[5],
  'client', ARGV[6], 'subject', ARGV[7], 'relayed_at', ARGV[8], 'relayed_by', ARGV[9])
if ARGV[10] ~= '0' then
  redis.call('HSET', KEYS[1], 'max_call_seconds', ARGV[10])
end
if ARGV[11] ~= '' then
  redis.call('HSET', KEYS[1], 'seat', ARGV[11])
end
if ARGV[12] ~= '' then
  redis.call('HSET', KEYS[1], 'proof', ARGV[12])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
