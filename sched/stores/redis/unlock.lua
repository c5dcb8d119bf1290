-- Take a live lease from its holder, and settle the attempt that it was claimed with as orphaned.
--
-- KEYS[1]  the store's base
-- ARGV     resource, the lease's fence, detail, the id of the call
--
-- Result: 1; 0 if no live lease with this fence is on the resource

local resource, fence = ARGV[1], ARGV[2]
local held = lease_of(resource)
if not held or not held.live or held.fence ~= fence then return 0 end

-- Return the open attempt with this lease; nil if the lock was taken by hand.
local function claimed_with()
  if held.job == '' then return end
  local wanted = job_of(held.service, held.job)
  for _, entry in ipairs(redis.call('ZRANGE', base .. ':open', 0, -1)) do
    local job, attempt_key = job_and_attempt_of(entry)
    local run = job == wanted and read_run(job, attempt_key)
    if run and run[RESOURCE] == resource and run[FENCE] == fence then return job, attempt_key, run end
  end
end
local job, attempt_key, run = claimed_with()

free(resource)
if job then
  run[DETAIL], run[SETTLED_BY] = ARGV[3], ARGV[4]
  end_run(job, attempt_key, run, 'orphaned')
end
return 1
