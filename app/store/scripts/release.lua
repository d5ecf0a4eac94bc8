-- End a claim that brought no answer, if it is still the caller's own.
--
-- KEYS[1]  the handle's hash
-- KEYS[2]  the claim on this offer
-- ARGV[1]  the claim's nonce
-- ARGV[2]  "1": the offer provably did not reach the provider, so the use is given back; "0": it did
-- Returns  1 when the claim was ended, 0 when it was no longer the caller's
if redis.call('GET', KEYS[2]) ~= 'pending:' .. ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[2])
if ARGV[2] == '1' and redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], 'calls', -1)
end
return 1
