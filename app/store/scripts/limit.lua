-- Count one mint of a client in the current minute.
--
-- KEYS[1]  the client's counter of this minute
-- ARGV[1]  the counter's life, milliseconds
-- Returns  the count, this one included
local count = redis.call('INCR', KEYS[1])
if count == 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return count
