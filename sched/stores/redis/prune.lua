-- Delete attempts that were settled, ended long ago, and are not among their job's latest.
--
-- KEYS[1]  the store's base
-- ARGV     the job after which to go on ('' to begin), how many jobs to look at, how long to keep in us,
--          how many of each job to keep, how many attempts to look at in all: the server serves no other call meanwhile
--
-- Result: {the job after which to go on, more, {{JOB, DUE/ATTEMPT}, ...}}; more is 0 after the last job; the list has
--         the attempts whose rows were deleted by hand

local after, keep_us, latest, left = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local jobs, next_page = page_of(base .. ':ledgers', after, ARGV[2])
local missing = {}
for at, job in ipairs(jobs) do
  local beyond, forgotten = redis.call('ZCARD', base .. ':dues:' .. job) - latest, 0
  local attempt_keys = beyond > 0 and redis.call('ZRANGE', base .. ':dues:' .. job, 0, math.min(beyond, left) - 1) or {}
  for _, attempt_key in ipairs(attempt_keys) do
    local run = read_run(job, attempt_key)
    left = left - 1
    if not run then
      forget_run(job, attempt_key)
      forgotten = forgotten + 1
      missing[#missing + 1] = {job, attempt_key}
    elseif run[OUTCOME] ~= '' then
      if tonumber(run[ENDED_US]) >= now_us - keep_us then break end -- those after it ended later, with few exceptions
      forget_run(job, attempt_key)
      forgotten = forgotten + 1
    end
  end
  if left == 0 then -- this job once more, unless it took the whole budget and nothing was deleted
    return {(forgotten > 0 or at > 1) and after or job, 1, missing}
  end
  after = job
end
return {next_page, next_page ~= '' and 1 or 0, missing}
