-- Find claims without an end whose leases have ended, oldest first.
--
-- KEYS[1]  the store's base
-- ARGV     the entry after which the page begins ('' for the first), how many to look at
--
-- Result: {next, {JOB, DUE/ATTEMPT, the attempt's JSON list}, ...}; next is '' after the last page; of an
--         attempt whose row was deleted by hand {JOB, DUE/ATTEMPT}

local entries, next_page = page_of(base .. ':open', ARGV[1], ARGV[2])
local found = {next_page}
for _, entry in ipairs(entries) do
  local job, attempt_key = job_and_attempt_of(entry)
  local run = read_run(job, attempt_key)
  if not run then
    found[#found + 1] = {job, attempt_key}
  elseif not is_running(run) then
    found[#found + 1] = {job, attempt_key, cjson.encode(run)}
  end
end
return found
