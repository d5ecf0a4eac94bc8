-- Turn a mark into a key in stock. Safe to repeat: a mark counts once, and a key that was taken does not come back.
--
-- KEYS     as pool.lua has them
-- ARGV[1]  the shape
-- ARGV[2]  the id of the mark and of the key
-- ARGV[3]  until when the key may be handed out, and ARGV[4] the end of its life, milliseconds of this server's clock
-- ARGV[5]  the sealed key
-- ARGV[6]  the deployment that minted it
-- Returns  1; 0 where there is no such mark: its time was over, or this was done before
if redis.call('ZREM', KEYS[3], ARGV[1] .. '|' .. ARGV[2]) == 0 then
  return 0
end
charge('minted', 1)
local member = ARGV[1] .. '|' .. ARGV[3] .. '|' .. ARGV[2]
redis.call('ZADD', KEYS[1], 0, member)
redis.call('HSET', KEYS[2], member, ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[6])
redis.call('PEXPIRE', KEYS[1], text(DAY))
-- A sealed key is of no use after its end. The stock knows it until then, so that its waste is counted.
local life = math.max(ARGV[4] - now, 1)
if redis.call('PTTL', KEYS[2]) < life then
  redis.call('PEXPIRE', KEYS[2], text(life))
end
local found = shape_of(ARGV[1])
if found then
  found.serves = math.max(ARGV[3] - now, 1)
  keep_shape(ARGV[1], found)
end
return 1
