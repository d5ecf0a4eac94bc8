-- Take marks back, and count keys as lost that were taken and reached no caller.
--
-- KEYS     as pool.lua has them
-- ARGV[1]  "1": the provider may have minted the keys of the marks, so they count as lost
-- ARGV[2]  how many keys were taken for nothing
-- ARGV[3]  and so on: the marks, "<shape>|<id>"
-- Returns  how many keys count as lost now
local lost = 0
for number = 3, #ARGV do
  lost = lost + redis.call('ZREM', KEYS[3], ARGV[number])
end
lost = ARGV[1] == '1' and lost or 0
local unused = tonumber(ARGV[2])
if unused > 0 then
  charge('used', -unused)
  lost = lost + unused
end
if lost > 0 then
  charge('lost', lost)
end
return lost
