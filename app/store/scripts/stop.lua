-- Note on the records of calls that an operator wants them to end. The first note stays. A call that has ended stays
-- as it is, and so does a record of a version that the caller does not read.
--
-- KEYS     the calls' hashes; in a Cluster one a call
-- ARGV[1]  now, epoch seconds
-- ARGV[2]  the operator's name
-- ARGV[3]  the last version of a record that the caller reads
-- Returns  for each call 1: noted now, 2: noted before, 3: has ended, 4: not on record, 5: of a version that is not
--          read
local found = {}
for number, call in ipairs(KEYS) do
  local record = redis.call('HMGET', call, 'v', 'handle', 'ended_at')
  local version = tonumber(record[1] or 1)
  if not record[1] and not record[2] then
    found[number] = 4
  elseif not (version and version >= 1 and version <= tonumber(ARGV[3])) then
    found[number] = 5
  elseif record[3] then
    found[number] = 3
  elseif redis.call('HSETNX', call, 'hangup_asked_at', ARGV[1]) == 1 then
    redis.call('HSET', call, 'hangup_asked_by', ARGV[2])
    found[number] = 1
  else
    found[number] = 2
  end
end
return found
