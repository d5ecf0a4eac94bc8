-- Revoke handles: from now on no claim wins. Handles with other fields than the given ones stay untouched,
-- since a list of the index may name them too. The first revocation stays.
--
-- KEYS     the handles' hashes; in a Cluster one a call
-- ARGV[1]  now, epoch seconds
-- ARGV[2]  who revokes
-- ARGV[3]  field, ARGV[4] value it must have, and so on
-- Returns  {<revoked now>, <revoked before>, <gone or of others>}
local revoked, before, others = 0, 0, 0
for _, handle in ipairs(KEYS) do
  local fits = redis.call('HEXISTS', handle, 'minted_at') == 1
  for number = 3, #ARGV, 2 do
    fits = fits and redis.call('HGET', handle, ARGV[number]) == ARGV[number + 1]
  end
  if not fits then
    others = others + 1
  elseif redis.call('HSETNX', handle, 'revoked_at', ARGV[1]) == 1 then
    redis.call('HSET', handle, 'revoked_by', ARGV[2])
    revoked = revoked + 1
  else
    before = before + 1
  end
end
return {revoked, before, others}
