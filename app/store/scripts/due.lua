-- Say when calls are due, or hold those that are being ended: a sorted set by the time of this server, so the
-- clocks of the replicas do not matter. Safe to repeat.
--
-- KEYS[1]  the slice
-- ARGV[1]  how far off, milliseconds
-- ARGV[2]  "NX": new entries only, a first time stays; "XX": only those that are still there
-- ARGV[3]  how long the slice must last from now at least, milliseconds
-- ARGV[4]  and so on: the entries, "<reason>:<call id>"
-- Returns  1
local time = redis.call('TIME')
local due = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1])
for number = 4, #ARGV do
  redis.call('ZADD', KEYS[1], ARGV[2], due, ARGV[number])
end
local life = redis.call('PTTL', KEYS[1])
if life ~= -2 and life < tonumber(ARGV[3]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
