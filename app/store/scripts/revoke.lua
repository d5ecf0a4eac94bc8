-- Revoke handles: from now on no claim wins. Handles with other fields than the given ones stay untouched,
-- since a list of the index may name them too, and so do records of a version that the caller does not read.
-- The first revocation stays.
--
-- KEYS     in pairs: a handle's hash, and what it must not fall behind (claim.lua); in a Cluster one pair a call
-- ARGV[1]  now, epoch seconds
-- ARGV[2]  who revokes
-- ARGV[3]  the last version of a record that the caller reads
-- ARGV[4]  "": their calls go on; else a number: their calls are to end, also those that are being relayed. A record
--          then lasts so many milliseconds at least, for the relays under way to see that
-- ARGV[5]  field, ARGV[6] value it must have, and so on
-- Returns  {<revoked now>, <revoked before>, <gone or of others>, <of a version that is not read>}
local revoked, before, others, unread = 0, 0, 0, 0
for at = 1, #KEYS, 2 do
  local handle, uses = KEYS[at], KEYS[at + 1]
  local written = redis.call('HGET', handle, 'v')
  local version = tonumber(written or 1)
  local fits = redis.call('HEXISTS', handle, 'minted_at') == 1 or written
  for number = 5, #ARGV, 2 do
    fits = fits and redis.call('HGET', handle, ARGV[number]) == ARGV[number + 1]
  end
  if not fits then
    others = others + 1
  elseif not (version and version >= 1 and version <= tonumber(ARGV[3])) then
    unread = unread + 1
  else
    if redis.call('HSETNX', handle, 'revoked_at', ARGV[1]) == 1 then
      redis.call('HSET', handle, 'revoked_by', ARGV[2])
      revoked = revoked + 1
    else
      before = before + 1
    end
    if ARGV[4] ~= '' then
      redis.call('HSETNX', handle, 'calls_revoked_by', ARGV[2])
      if redis.call('PTTL', handle) < tonumber(ARGV[4]) then
        redis.call('PEXPIRE', handle, ARGV[4])
      end
    end
    redis.call('HSETNX', uses, 'revoked_at', ARGV[1])
    redis.call('PEXPIRE', uses, redis.call('PTTL', handle))
  end
end
return {revoked, before, others, unread}
