-- Take a page's report of what became of its call, and keep the first failure: a later report replaces a good
-- outcome by a failure, and nothing else. A record that is gone stays gone, since a new hash would have no expiry.
--
-- KEYS[1]  the call's hash
-- ARGV[1]  the handle that reports
-- ARGV[2]  the last version of a record that the caller reads
-- ARGV[3]  how many reports a call may have
-- ARGV[4]  "1": the report is of a failure; "0": it is not
-- ARGV[5]  "<epoch seconds> <outcome> <milliseconds>"
-- ARGV[6]  the states, and ARGV[7] the candidates, as app.reports writes them; may be empty
-- Returns  {"none"}                 no such call, or another handle made it; nothing is written
--          {"version", <its>}       the caller does not read records of this version; nothing is written
--          {"limited"}              the call has had its reports; nothing is written
--          {"first", <model>, <deployment>, <client>}
--          {"worse", ...}           the same: it replaced a good outcome
--          {"more", ...}            the same: it was counted, and what was there stays
local call = redis.call('HMGET', KEYS[1], 'handle', 'relayed_at', 'v', 'reports', 'report', 'model', 'deployment',
  'client')
-- The handle has its name and meaning in every version.
if call[1] ~= ARGV[1] or not call[2] then
  return {'none'}
end
local version = tonumber(call[3] or 1)
if not (version and version >= 1 and version <= tonumber(ARGV[2])) then
  return {'version', call[3]}
end
local reports = tonumber(call[4] or 0) or 0
if reports >= tonumber(ARGV[3]) then
  return {'limited'}
end
redis.call('HSET', KEYS[1], 'reports', reports + 1)
local taken = 'first'
if call[5] then
  local good = string.find(call[5], ' connected ', 1, true)
  taken = good and ARGV[4] == '1' and 'worse' or 'more'
end
if taken ~= 'more' then
  redis.call('HSET', KEYS[1], 'report', ARGV[5], 'report_states', ARGV[6], 'report_candidates', ARGV[7])
end
return {taken, call[6] or '', call[7] or '', call[8] or ''}
