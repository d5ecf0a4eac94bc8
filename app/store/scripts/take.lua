-- Take entries that are due, and hold them: no other replica takes them before the hold is over. An entry whose
-- holder died is taken again after it.
--
-- KEYS     the slices; in a Cluster one a call, since they lie in different slots
-- ARGV[1]  the hold, milliseconds
-- ARGV[2]  how many at most
-- Returns  {<entry>, <milliseconds since it was due>, and so on}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = string.format('%.0f', now + ARGV[1])
local found = {}
for _, slice in ipairs(KEYS) do
  local left = tonumber(ARGV[2]) - #found / 2
  local due = redis.call('ZRANGEBYSCORE', slice, '-inf', string.format('%.0f', now), 'WITHSCORES', 'LIMIT', 0,
    string.format('%.0f', left))
  for number = 1, #due, 2 do
    redis.call('ZADD', slice, 'XX', held, due[number])
    found[#found + 1] = due[number]
    found[#found + 1] = now - tonumber(due[number + 1])
  end
end
return found
