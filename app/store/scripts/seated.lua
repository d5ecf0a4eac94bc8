-- The call of a seat was made: the seat lasts as long as the call may. Safe to repeat.
--
-- KEYS[1]  the client's seats, KEYS[2] what each was given, KEYS[3] the subject's seats; absent without a subject
-- ARGV[1]  the offer
-- ARGV[2]  how long the call may last from now, milliseconds
-- ARGV[3]  "<seconds>:<nonce>", should the seat be gone meanwhile: the call counts all the same
-- Returns  1
local time = redis.call('TIME')
local ends = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2])
local life = string.format('%.0f', ARGV[2] + 172800000)
redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], life)
for at = 1, #KEYS, 2 do
  redis.call('ZADD', KEYS[at], ends, ARGV[1])
  redis.call('PEXPIRE', KEYS[at], life)
end
return 1
