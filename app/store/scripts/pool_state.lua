-- Tell how a model's pool stands, once everything that is too old is thrown away.
--
-- KEYS     as pool.lua has them
-- Returns  {<bill>, <wasted and lost>, <shape>, <level>, and so on}
sweep_all()
local left = marks()
local state = {bill(), swept}
local kept = redis.call('HGETALL', KEYS[4])
for at = 1, #kept, 2 do
  local found = read_shape(kept[at + 1])
  if found then
    state[#state + 1] = kept[at]
    state[#state + 1] = level(kept[at], found, left)
  end
end
state[1], state[2] = bill(), swept
return state
