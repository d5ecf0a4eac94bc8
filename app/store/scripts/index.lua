-- Put an id at the end of index lists. A list expires a while after the last record that it names.
--
-- KEYS     the lists; in a Cluster one a call, since they lie in different slots
-- ARGV[1]  the id
-- ARGV[2]  how long the lists must last from now at least, milliseconds
-- Returns  1
for _, list in ipairs(KEYS) do
  redis.call('RPUSH', list, ARGV[1])
  if redis.call('PTTL', list) < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', list, ARGV[2])
  end
end
return 1
