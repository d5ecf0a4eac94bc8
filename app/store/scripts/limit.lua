-- Count one mint of a client, and of one of its subjects, in the current minute.
--
-- KEYS[1]  the client's counter of this minute
-- KEYS[2]  the subject's, where the client's subjects have a limit
-- ARGV[1]  the counters' life, milliseconds
-- ARGV[2]  how many mints the subject may have
-- Returns  {the client's count, the subject's}, this mint included. One that is too many for its subject does
--          not count for the client, so that one user cannot use up what all share: the first is 0 then. The
--          second is 0 where subjects have no limit.
local function count(name)
  local found = redis.call('INCR', name)
  if found == 1 then
    redis.call('PEXPIRE', name, ARGV[1])
  end
  return found
end
local of_subject = 0
if KEYS[2] then
  of_subject = count(KEYS[2])
  if of_subject > tonumber(ARGV[2]) then
    return {0, of_subject}
  end
end
return {count(KEYS[1]), of_subject}
