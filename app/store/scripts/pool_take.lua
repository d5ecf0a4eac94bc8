-- Count a take, and take the oldest key of a shape that is good. What is too old is thrown away.
--
-- KEYS     as pool.lua has them
-- ARGV[1]  the shape
-- ARGV[2]  how long a key of a new shape is good, milliseconds, until one is there
-- ARGV[3]  how many shapes are watched at most
-- Returns  {<member of the stock, "" where nothing is there>, <its key>, <now>, <level>, <bill>, <wasted and lost>}
sweep(ARGV[1])
local left = marks()

-- The shape that was wanted last so long ago that it can make room; nil where each has keys.
local function oldest()
  local found, when
  local kept = redis.call('HGETALL', KEYS[4])
  for at = 1, #kept, 2 do
    local last = tonumber(string.match(kept[at + 1], '^%d+')) or 0
    if not when or last < when then
      local ends = range(kept[at])
      if redis.call('ZLEXCOUNT', KEYS[1], ends.moment, ends.finish) == 0 then
        found, when = kept[at], last
      end
    end
  end
  return found
end

local found = shape_of(ARGV[1])
local watched = true
if not found then
  found = new_shape(ARGV[2])
  if redis.call('HLEN', KEYS[4]) >= tonumber(ARGV[3]) then
    local other = oldest()
    watched = other ~= nil
    if other then
      redis.call('HDEL', KEYS[4], other)
    end
  end
elseif now - found.last > found.serves then
  found.takes = 0
end
if watched then
  found.last, found.takes, found.wanted[1] = now, found.takes + 1, found.wanted[1] + 1
  keep_shape(ARGV[1], found)
end
local taken, key = '', ''
local ends = range(ARGV[1])
local good = redis.call('ZRANGEBYLEX', KEYS[1], ends.moment, ends.finish, 'LIMIT', 0, 1)[1]
if good then
  key = redis.call('HGET', KEYS[2], good) or ''
  redis.call('ZREM', KEYS[1], good)
  redis.call('HDEL', KEYS[2], good)
  if key == '' then
    charge('lost', 1)
    swept[2] = swept[2] + 1
  else
    taken = good
    charge('used', 1)
  end
end
return {taken, key, text(now), level(ARGV[1], found, left), bill(), swept}
