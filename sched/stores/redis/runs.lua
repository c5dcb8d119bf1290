-- Show attempts, newest due instant first.
--
-- KEYS[1]  the store's base
-- ARGV     the entry below which the page begins ('' for the first page), how many, '1' for one job, JOB
--
-- Result: {next, {JOB, DUE/ATTEMPT, the attempt's JSON list}, ...}; next is '' after the last page; of an
--         attempt whose row was deleted by hand {JOB, DUE/ATTEMPT}

local of_one = ARGV[3] == '1'
local key = of_one and base .. ':dues:' .. ARGV[4] or base .. ':runs'
local entries = redis.call('ZREVRANGEBYLEX', key, ARGV[1] == '' and '+' or '(' .. ARGV[1], '-', 'LIMIT', 0, ARGV[2])
local shown = {#entries == tonumber(ARGV[2]) and entries[#entries] or ''}
for _, entry in ipairs(entries) do
  local job, attempt_key = ARGV[4], entry
  if not of_one then job, attempt_key = job_and_attempt_of(entry) end
  local packed = redis.call('HGET', base .. ':runs:' .. job, attempt_key)
  shown[#shown + 1] = packed and {job, attempt_key, packed} or {job, attempt_key}
end
return shown
