-- Forget attempts that were settled, ended long ago, and are not among their job's latest.
--
-- KEYS[1]  the store's base
-- ARGV     the job after which to go on ('' to begin), how many jobs to look at, how long to keep in us,
--          how many of each job to keep, how many attempts of each job to look at
--
-- Result: {next, more}; next is '' after the last job, more is 1 if some of these jobs have more to forget

local jobs, next_page = page_of(base .. ':ledgers', ARGV[1], ARGV[2])
local keep_us, latest, at_most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local more = 0
for _, job in ipairs(jobs) do
  local beyond = redis.call('ZCARD', base .. ':due:' .. job) - latest
  local forgotten = 0
  if beyond > 0 then
    local places = redis.call('ZRANGE', base .. ':due:' .. job, 0, math.min(beyond, at_most) - 1)
    for _, place in ipairs(places) do
      local run = read_run(job, place)
      if run[OUTCOME] ~= '' and tonumber(run[ENDED_US]) < now_us - keep_us then
        forget_run(job, place)
        forgotten = forgotten + 1
      end
    end
  end
  if forgotten == at_most then more = 1 end
end
return {next_page, more}
