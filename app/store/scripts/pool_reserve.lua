-- Answer how many keys of a shape to mint now, and mark them as pending: no replica mints them too, and the marks of
-- one that dies end by themselves. The same nonce gets the same answer.
--
-- KEYS     as pool.lua has them
-- ARGV[1]  the shape
-- ARGV[2]  the nonce; the marks are "<shape>|<nonce>.1" and so on
-- ARGV[3]  how many keys of the shape there should be, those included that are pending
-- ARGV[4]  how many there may be of all shapes
-- ARGV[5]  how many the caller mints at most
-- ARGV[6]  how long a mark lasts, milliseconds
-- Returns  {<how many>, <now>, <wasted and lost>}
sweep(ARGV[1])
local left = marks()
local mine, begin = 0, ARGV[1] .. '|' .. ARGV[2] .. '.'
for _, mark in ipairs(left) do
  if string.sub(mark, 1, #begin) == begin then
    mine = mine + 1
  end
end
if mine > 0 then
  return {mine, text(now), swept}
end
local bound = tonumber(ARGV[4])
if redis.call('ZCARD', KEYS[1]) + #left >= bound then
  sweep_all()
end
local found = shape_of(ARGV[1])
if not found then
  return {0, text(now), swept}
end
local goal, here = tonumber(ARGV[3]), level(ARGV[1], found, left)
-- The provider's rate limit is shared: in a minute no more mints than takes, and the goal.
local wanted = math.min(goal - here[1] - here[2], bound - redis.call('ZCARD', KEYS[1]) - #left,
  here[3] + goal - sum(found.minted, 7), tonumber(ARGV[5]))
if wanted <= 0 then
  return {0, text(now), swept}
end
for number = 1, wanted do
  redis.call('ZADD', KEYS[3], text(now + ARGV[6]), begin .. number)
end
redis.call('PEXPIRE', KEYS[3], text(DAY))
found.minted[1] = found.minted[1] + wanted
keep_shape(ARGV[1], found)
return {wanted, text(now), swept}
