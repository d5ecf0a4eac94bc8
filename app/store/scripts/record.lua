-- Write a handle's record and its expiry in one step, so that no crash leaves a record without an expiry.
--
-- A record that is there stays as it is. A first try may have been stuck on its way and arrive after the second one:
-- by then the handle may be in use, and writing it anew would give back its uses and start its life again.
--
-- A hash stays in its compact form while each value is at most 64 bytes long (hash-max-listpack-value), which
-- halves the memory of a handle. The sealed key alone is longer, so it is cut into up to four fields; one that
-- needs more (a key with a session beside it) is kept whole.
--
-- KEYS[1]  the handle's hash
-- ARGV[1]  its life, milliseconds
-- ARGV[2]  the sealed key
-- ARGV[3]  and so on: the fields below, in their order; an empty one is left out, and so are the last ones that are
--          not given
-- Returns  1 when it was written, 0 when it was there
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
local names = {'v', 'proof', 'model', 'deployment', 'provider', 'family', 'client', 'subject', 'origin',
  'minted_at', 'expires_at', 'minted_by', 'max_calls', 'region', 'max_call_seconds', 'bind_origin',
  'bind_fingerprint'}
local flat = {'calls', 0}
for number, name in ipairs(names) do
  local value = ARGV[number + 2]
  if value and value ~= '' then
    flat[#flat + 1] = name
    flat[#flat + 1] = value
  end
end
local sealed = ARGV[2]
local length = 64
if #sealed > 256 then
  length = #sealed
end
for number = 1, math.ceil(#sealed / length) do
  flat[#flat + 1] = number == 1 and 'sealed_key' or 'sealed_key_' .. number
  flat[#flat + 1] = string.sub(sealed, (number - 1) * length + 1, number * length)
end
redis.call('HSET', KEYS[1], unpack(flat))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
