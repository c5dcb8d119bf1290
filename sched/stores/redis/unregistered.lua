-- Find jobs that have no record.
--
-- KEYS[1]  the store's base
-- ARGV     JOBs
--
-- Result: those of them that have none

local found = {}
for _, job in ipairs(ARGV) do
  if redis.call('HEXISTS', base .. ':record:' .. job, 'record') == 0 then found[#found + 1] = job end
end
return found
