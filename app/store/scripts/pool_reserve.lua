-- Answer how many keys of a shape to mint now, and mark them as pending: no replica mints them too, and the marks of
-- one that dies end by themselves. While its marks are there, the same nonce gets the same ones. Afterwards it gets
-- others: a put that is repeated, too, must not find its mark again, or it would bring back a key that was taken.
--
-- KEYS     as pool.lua has them
-- ARGV[1]  the shape
-- ARGV[2]  the nonce; the ids are "<nonce>.<this moment, microseconds>.1" and so on
-- ARGV[3]  how many keys of the shape there should be, those included that are pending
-- ARGV[4]  how many there may be of all shapes
-- ARGV[5]  how many the caller mints at most
-- ARGV[6]  how long a mark lasts, milliseconds
-- Returns  {<the ids of the marks>, <now>, <wasted and lost>}
sweep(ARGV[1])
local left = marks()
local ids, begin = {}, ARGV[1] .. '|' .. ARGV[2] .. '.'
for _, mark in ipairs(left) do
  if string.sub(mark, 1, #begin) == begin then
    ids[#ids + 1] = string.sub(mark, #ARGV[1] + 2)
  end
end
if #ids > 0 then
  return {ids, text(now), swept}
end
local bound = tonumber(ARGV[4])
if redis.call('ZCARD', KEYS[1]) + #left >= bound then
  sweep_all()
end
local found = shape_of(ARGV[1])
if not found then
  return {ids, text(now), swept}
end
local goal, here = tonumber(ARGV[3]), level(ARGV[1], found, left)
-- The provider's rate limit is shared: in a minute no more mints than takes, and the goal.
local wanted = math.min(goal - here[1] - here[2], bound - redis.call('ZCARD', KEYS[1]) - #left,
  sum(found.wanted, 7) + goal - sum(found.minted, 7), tonumber(ARGV[5]))
if wanted <= 0 then
  return {ids, text(now), swept}
end
for number = 1, wanted do
  ids[number] = ARGV[2] .. '.' .. text(time[1] * 1000000 + time[2]) .. '.' .. number
  redis.call('ZADD', KEYS[3], text(now + ARGV[6]), ARGV[1] .. '|' .. ids[number])
end
redis.call('PEXPIRE', KEYS[3], text(DAY))
found.minted[1] = found.minted[1] + wanted
keep_shape(ARGV[1], found)
return {ids, text(now), swept}
