-- Put messages into the queue of the webhook, as far as there is room. Safe to repeat: a message that is there stays.
--
-- KEYS[1]  the queue: a sorted set of messages, by the time of this server at which each is due
-- ARGV[1]  how many messages it may have
-- ARGV[2]  how long it must last from now, milliseconds
-- ARGV[3]  and so on: the messages
-- Returns  how many had no room
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local room = tonumber(ARGV[1]) - redis.call('ZCARD', KEYS[1])
local left_out = 0
for number = 3, #ARGV do
  if not redis.call('ZSCORE', KEYS[1], ARGV[number]) then
    if room > 0 then
      redis.call('ZADD', KEYS[1], 'NX', now, ARGV[number])
      room = room - 1
    else
      left_out = left_out + 1
    end
  end
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return left_out
