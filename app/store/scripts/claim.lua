-- Claim one use of a handle for one offer. Atomic, so two replicas never both win the last use, and the
-- same nonce wins again, so a claim whose reply was lost may be repeated. A refusal is noted on the record.
--
-- KEYS[1]  the handle's hash
-- KEYS[2]  the claim on this offer, a string: "pending:<nonce>", "answered:<call id>:<sealed answer>", "unknown",
--          or "unknown:<nonce>" where the process that relayed it seems to have died
-- KEYS[3]  what the record must not fall behind: a hash with the calls of a handle with a limit, and its revocation
-- ARGV[1]  the claim's nonce
-- ARGV[2]  how long the claim may stay pending, milliseconds
-- ARGV[3]  now, epoch seconds, for last_call_at and last_refusal
-- ARGV[4]  the replica's name, for last_call_by
-- ARGV[5]  the session families that the caller's path is for, separated by commas
-- ARGV[6]  the last version of a record that the caller reads
-- ARGV[7]  the origin of the offer's page, ARGV[8] the certificate that it carries, both as the record names them
-- ARGV[9]  "ask": win no use of a handle with a limit, since replicas must have that; absent otherwise
-- Returns  {"version", <the record's>}   the caller does not read records of this version; nothing is written
--          {"gone"}                      no such record: expired, or never stored
--          {"older", <client>, <subject>, <model>}   an earlier state of the record was put back
--          {"revoked", <whose>}          <whose>: client, subject, model, then the origin and the certificate by which
--                                        its bearer is known: those that it is bound to, else those of its first use
--          {"certificate", <whose>}      it is bound to another certificate
--          {"origin", <whose>}           it is bound to another origin
--          {"family", <the handle's family>}
--          {"pending", <its nonce>}      another relay of the same offer is under way
--          {"answered", <call id>:<sealed answer>}
--          {"unknown"}                   the same offer was sent, and its outcome is not known
--          {"spent", <max_calls>, <whose>}
--          {"limited"}                   with "ask": this one would win; nothing is written
--          {"won", <sealed key>, <deployment>, <model>, <client>, <subject>, <expires_at>, <calls>,
--           <seconds that a call may last, "" for no limit>, <family>, <max_calls or "">, <proof or "">,
--           <origin that it is bound to, or "">, <certificate that it is bound to, or "">}
local record = redis.call('HMGET', KEYS[1], 'sealed_key', 'deployment', 'model', 'client', 'subject',
  'expires_at', 'calls', 'max_calls', 'family', 'revoked_at', 'sealed_key_2', 'sealed_key_3', 'sealed_key_4',
  'v', 'max_call_seconds', 'proof', 'bind_origin', 'bind_fingerprint')
-- First, since a newer version may have other fields. A record without a version is of version 1.
local version = tonumber(record[14] or 1)
if not (version and version >= 1 and version <= tonumber(ARGV[6])) then
  return {'version', record[14]}
end
if not record[1] then
  -- Only a primary may say so, and one that replicas follow where they are waited for: a server that a failover
  -- left behind has never had the record. So this writes something. No claim looks at it without a record.
  redis.call('SET', KEYS[2], 'gone', 'PX', 1)
  return {'gone'}
end
local function refuse(code)
  redis.call('HINCRBY', KEYS[1], 'refusals', 1)
  redis.call('HSET', KEYS[1], 'last_refusal', ARGV[3] .. ' ' .. code)
end
local function whose()
  local used = redis.call('HMGET', KEYS[1], 'used_origin', 'used_fingerprint')
  return record[4] or '', record[5] or '', record[3] or '', record[17] or used[1] or '', record[18] or used[2] or ''
end
local known = redis.call('HMGET', KEYS[3], 'calls', 'revoked_at')
if (known[1] and (tonumber(record[7]) or 0) < tonumber(known[1])) or (known[2] and not record[10]) then
  refuse('record_refused')
  return {'older', record[4] or '', record[5] or '', record[3] or ''}
end
if record[10] then
  refuse('handle_revoked')
  return {'revoked', whose()}
end
-- Before everything that tells how far the handle is used.
if record[18] and record[18] ~= ARGV[8] then
  refuse('wrong_certificate')
  return {'certificate', whose()}
end
if record[17] and record[17] ~= ARGV[7] then
  refuse('wrong_origin')
  return {'origin', whose()}
end
if not string.find(',' .. ARGV[5] .. ',', ',' .. (record[9] or '') .. ',', 1, true) then
  refuse('wrong_session_family')
  return {'family', record[9] or ''}
end
local calls = tonumber(record[7]) or 0
local mine = 'pending:' .. ARGV[1]
local claim = redis.call('GET', KEYS[2])
if claim and claim ~= mine then
  if string.sub(claim, 1, 9) == 'answered:' then
    return {'answered', string.sub(claim, 10)}
  end
  if string.sub(claim, 1, 7) == 'unknown' then
    return {'unknown'}
  end
  return {'pending', string.sub(claim, 9)}
end
local max_calls = tonumber(record[8]) or 0
if not claim and max_calls > 0 and calls >= max_calls then
  refuse('handle_spent')
  return {'spent', record[8], whose()}
end
if ARGV[9] and max_calls > 0 then
  return {'limited'}
end
if claim then
  -- WAIT speaks of what its connection wrote, so a repeat over a new connection has to write, too.
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
else
  calls = calls + 1
  redis.call('SET', KEYS[2], mine, 'PX', ARGV[2])
  if calls == 1 then
    redis.call('HSET', KEYS[1], 'calls', calls, 'last_call_at', ARGV[3], 'last_call_by', ARGV[4],
      'used_origin', ARGV[7], 'used_fingerprint', ARGV[8])
  else
    redis.call('HSET', KEYS[1], 'calls', calls, 'last_call_at', ARGV[3], 'last_call_by', ARGV[4])
  end
  if max_calls > 0 then
    -- Not set to the record's number: an older release counts, and gives back, on the record alone.
    redis.call('HINCRBY', KEYS[3], 'calls', 1)
    redis.call('PEXPIRE', KEYS[3], redis.call('PTTL', KEYS[1]))
  end
end
local sealed = record[1] .. (record[11] or '') .. (record[12] or '') .. (record[13] or '')
-- A field that is missing must not end the reply here: its reader sees that the proof does not fit.
return {'won', sealed, record[2] or '', record[3] or '', record[4] or '', record[5] or '', record[6] or '', calls,
  record[15] or '', record[9] or '', record[8] or '', record[16] or '', record[17] or '', record[18] or ''}
