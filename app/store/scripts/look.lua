-- Look at a handle: what it is good for, and how far it is used. That spends nothing and writes nothing.
--
-- It is a script, so that both keys are of one moment: with a use, or a use that is given back, between two reads, the
-- record would seem to be behind.
--
-- KEYS[1]  the handle's hash
-- KEYS[2]  what the record must not fall behind (claim.lua)
-- ARGV     the fields to return; the first two are calls and revoked_at
-- Returns  1 where an earlier state of the record was put back, else 0; then the value of each field, nil for none
local record = redis.call('HMGET', KEYS[1], unpack(ARGV))
local known = redis.call('HMGET', KEYS[2], 'calls', 'revoked_at')
local behind = (known[1] and (tonumber(record[1]) or 0) < tonumber(known[1])) or (known[2] and not record[2])
return {behind and 1 or 0, unpack(record)}
