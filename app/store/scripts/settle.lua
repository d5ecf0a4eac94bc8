-- End a claim, and note its outcome on the handle's record. Safe to repeat: what is settled stays.
--
-- KEYS[1]  the handle's hash
-- KEYS[2]  the claim on this offer, as claim.lua has it
-- KEYS[3]  what the record must not fall behind, as claim.lua has it
-- ARGV[1]  the claim's nonce
-- ARGV[2]  what the claim becomes, "answered:..." or "unknown"; "" to end it without an answer;
--          "unknown:<nonce>" where the process that made it seems to have died: only what is pending becomes so,
--          and the process may still settle it
-- ARGV[3]  how long that is kept, milliseconds
-- ARGV[4]  "1": the offer provably did not reach the provider, so the use is given back; "0": it did
-- ARGV[5]  now, epoch seconds
-- ARGV[6]  the outcome: "answered <call id>", or an error's code, with a call's id where one is known
-- ARGV[7]  for an answer: "" where it counts even after the claim was lost; else "unknown:<call id>", which the claim
--          becomes where another outcome may have been told
-- Returns  {<1 when the claim was settled, 0 when it was before, or when it has another nonce; 2 when the answer does
--          not count>, <who revoked the handle together with its calls, or "">}
local record = redis.call('HMGET', KEYS[1], 'v', 'minted_at', 'calls_revoked_by')
local stopped_by = record[3] or ''
local claim = redis.call('GET', KEYS[2])
local pending, lost = 'pending:' .. ARGV[1], 'unknown:' .. ARGV[1]
local outcome, settled = ARGV[6], 1
if ARGV[2] == '' then
  if claim ~= pending and claim ~= lost then
    return {0, stopped_by}
  end
  redis.call('DEL', KEYS[2])
elseif ARGV[2] == lost then
  if claim ~= pending then
    return {0, stopped_by}
  end
  -- No sooner than it would have been without this may the offer be sent again.
  redis.call('SET', KEYS[2], lost, 'PX', math.max(tonumber(ARGV[3]), redis.call('PTTL', KEYS[2])))
elseif ARGV[7] ~= '' and claim and claim ~= pending and claim ~= ARGV[2] then
  if claim ~= lost then
    return {2, stopped_by}
  end
  redis.call('SET', KEYS[2], ARGV[7], 'PX', math.max(tonumber(ARGV[3]), redis.call('PTTL', KEYS[2])))
  outcome, settled = 'outcome_unknown ' .. string.sub(ARGV[7], 9), 2
else
  -- An answer is kept even where the claim has run out meanwhile; the first one stays.
  if claim == ARGV[2] or (claim and string.sub(claim, 1, 9) == 'answered:') then
    return {0, stopped_by}
  end
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
end
-- A handle that expired meanwhile stays gone: a new hash would have no expiry.
if record[1] or record[2] then
  if ARGV[4] == '1' then
    redis.call('HINCRBY', KEYS[1], 'calls', -1)
    if redis.call('HEXISTS', KEYS[3], 'calls') == 1 then
      redis.call('HINCRBY', KEYS[3], 'calls', -1)
    end
  end
  -- The last twenty outcomes, in fields that are used in turn, so that a record cannot grow without limit.
  local number = redis.call('HINCRBY', KEYS[1], 'relays', 1)
  redis.call('HSET', KEYS[1], 'relay_' .. ((number - 1) % 20 + 1), ARGV[5] .. ' ' .. outcome)
end
return {settled, stopped_by}
