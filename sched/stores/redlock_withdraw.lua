-- Take back a vote that did not make a majority: as if it had never been asked for.
--
-- KEYS[1]  the store's base
-- ARGV     resource, token, job ('' for a lock by hand), run_id, DUE
--
-- Result: 1

local resource, job = ARGV[1], ARGV[3]
local held = lease_of(resource)
if held and held.token == ARGV[2] then free(resource) end
if job == '' then return 1 end
local place, run = latest_of(job, ARGV[5])
if not run or run[RUN_ID] ~= ARGV[4] or run[OUTCOME] ~= '' then return 1 end

forget_run(job, place)
local before, died = latest_of(job, ARGV[5])
if died and died[OUTCOME] == 'orphaned' and died[ENDED_US] == run[CLAIMED_US] then -- by this claim
  died[OUTCOME], died[ENDED_US] = '', ''
  write_run(job, before, died)
  redis.call('ZADD', base .. ':open', 0, entry_of(job, before))
end
return 1
