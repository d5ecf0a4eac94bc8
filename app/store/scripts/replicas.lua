-- Say what a replica has in force, or listen to all of them. Times are of this server, so the clocks of the
-- replicas do not matter. Safe to repeat.
--
-- KEYS[1]  the replicas: a hash of processes to "<time>|<document>"
-- KEYS[2]  the keys that they have had: a hash of names to "<first seen> <last first> <last seen>"
-- ARGV[1]  the process; "" to listen
-- ARGV[2]  its document; "" where the process ends
-- ARGV[3]  how long a process that says nothing more counts, milliseconds
-- ARGV[4]  how long a key is remembered after it was seen last, milliseconds
-- ARGV[5]  and so on, in pairs: a key's name, and "1" where it is the first of its ring
-- Returns  to who listens: the time, then both hashes as lists; else the time
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local text = string.format('%.0f', now)
if ARGV[1] ~= '' then
  if ARGV[2] == '' then
    redis.call('HDEL', KEYS[1], ARGV[1])
  else
    redis.call('HSET', KEYS[1], ARGV[1], text .. '|' .. ARGV[2])
  end
  for number = 5, #ARGV, 2 do
    local known = redis.call('HGET', KEYS[2], ARGV[number]) or (text .. ' 0 0')
    local first, active = string.match(known, '^(%d+) (%d+)')
    if ARGV[number + 1] == '1' then
      active = text
    end
    redis.call('HSET', KEYS[2], ARGV[number], first .. ' ' .. active .. ' ' .. text)
  end
end
local replicas = redis.call('HGETALL', KEYS[1])
for number = 1, #replicas, 2 do
  if string.match(replicas[number + 1], '^%d+') + ARGV[3] < now then
    redis.call('HDEL', KEYS[1], replicas[number])
  end
end
local keys = redis.call('HGETALL', KEYS[2])
for number = 1, #keys, 2 do
  if string.match(keys[number + 1], '%d+$') + ARGV[4] < now then
    redis.call('HDEL', KEYS[2], keys[number])
  end
end
if ARGV[1] ~= '' then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
  return text
end
return {text, redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2])}
