-- Revoke handles: from now on no claim wins. Handles with other fields than the given ones stay untouched,
-- since a list of the index may name them too, and so do records of a version that the caller does not read.
-- The first revocation stays.
--
-- KEYS     the handles' hashes; in a Cluster one a call
-- ARGV[1]  now, epoch seconds
-- ARGV[2]  who revokes
-- ARGV[3]  the last version of a record that the caller reads
-- ARGV[4]  field, ARGV[5] value it must have, and so on
-- Returns  {<revoked now>, <revoked before>, <gone or of others>, <of a version that is not read>}
local revoked, before, others, unread = 0, 0, 0, 0
for _, handle in ipairs(KEYS) do
  local written = redis.call('HGET', handle, 'v')
  local version = tonumber(written or 1)
  local fits = redis.call('HEXISTS', handle, 'minted_at') == 1 or written
  for number = 4, #ARGV, 2 do
    fits = fits and redis.call('HGET', handle, ARGV[number]) == ARGV[number + 1]
  end
  if not fits then
    others = others + 1
  elseif not (version and version >= 1 and version <= tonumber(ARGV[3])) then
    unread = unread + 1
  elseif redis.call('HSETNX', handle, 'revoked_at', ARGV[1]) == 1 then
    redis.call('HSET', handle, 'revoked_by', ARGV[2])
    revoked = revoked + 1
  else
    before = before + 1
  end
end
return {revoked, before, others, unread}
