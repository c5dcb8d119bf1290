-- Put the latest attempts of jobs that have no end back into the list of open claims, which was deleted by hand: claims
-- whose claimants died are found by that list alone.
--
-- KEYS[1]  the store's base
-- ARGV     the job after which to go on ('' to begin), how many jobs to look at, how many attempts of each
--
-- Result: {the job after which to go on, {{JOB, DUE/ATTEMPT}, ...}, {{JOB, DUE/ATTEMPT}, ...}}: the attempts that were
--         put back, and those whose own rows are missing, which are dropped; the job is '' after the last page

local jobs, next_page = page_of(base .. ':ledgers', ARGV[1], ARGV[2])
local added, dropped = {}, {}
for _, job in ipairs(jobs) do
  for _, attempt_key in ipairs(redis.call('ZREVRANGE', base .. ':dues:' .. job, 0, ARGV[3] - 1)) do
    local run = read_run(job, attempt_key)
    if not run then
      forget_run(job, attempt_key)
      dropped[#dropped + 1] = {job, attempt_key}
    elseif run[OUTCOME] == '' and redis.call('ZADD', base .. ':open', 0, entry_of(job, attempt_key)) == 1 then
      added[#added + 1] = {job, attempt_key}
    end
  end
end
return {next_page, added, dropped}
