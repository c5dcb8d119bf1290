-- Show registered jobs, by JOB.
--
-- KEYS[1]  the store's base
-- ARGV     the JOB after which the page begins ('' for the first), how many
--
-- Result: {next, {JOB, record, next_due_ns, last_due, seen_us}, ...}; next is '' after the last page; of a job
--         whose record was deleted by hand {JOB}

local jobs, next_page = page_of(base .. ':jobs', ARGV[1], ARGV[2])
local shown = {next_page}
for _, job in ipairs(jobs) do
  local row = redis.call('HMGET', base .. ':record:' .. job, 'record', 'next_due_ns', 'last_due', 'seen_us')
  shown[#shown + 1] = row[1] and {job, row[1], row[2], row[3] or '', row[4]} or {job}
end
return shown
