-- Show registered jobs, by name.
--
-- KEYS[1]  the store's base
-- ARGV     the name after which the page begins ('' for the first), how many
--
-- Result: {next, {name, record, next_due_ns, last_due, seen_us}, ...}; next is '' after the last page

local names, next_page = page_of(base .. ':jobs', ARGV[1], ARGV[2])
local shown = {next_page}
for _, name in ipairs(names) do
  local job = redis.call('HMGET', base .. ':job:' .. name, 'record', 'next_due_ns', 'last_due', 'seen_us')
  shown[#shown + 1] = {name, job[1], job[2], job[3] or '', job[4]}
end
return shown
