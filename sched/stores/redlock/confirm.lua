-- Record what a majority agreed on, before it is used: the fence, and the number of the attempt.
--
-- KEYS[1]  the store's base
-- ARGV     resource, token, JOB ('' for a lock by hand), run_id, DUE, the number of the request, fence, DUE/ATTEMPT,
--          previous_run_id
--
-- Result: 1 if this server granted the lease for this request, 0 if not; the fence is kept in either case

local resource, job, fence, at = ARGV[1], ARGV[3], ARGV[7], ARGV[8]
local bucket = bucket_of(resource)
if tonumber(redis.call('HGET', base .. ':fence', bucket) or '0') < tonumber(fence) then
  redis.call('HSET', base .. ':fence', bucket, fence)
end
if not is_granted_to(grant_of(resource), ARGV[2], ARGV[6]) then return 0 end
redis.call('HSET', base .. ':lease:' .. resource, 'fence', fence)
if job == '' then return 1 end
local attempt_key, run = latest_of(job, ARGV[5])
if not run or run[RUN_ID] ~= ARGV[4] or run[OUTCOME] ~= '' then return 0 end
run[FENCE], run[PREVIOUS] = fence, ARGV[9]
if attempt_key ~= at then
  forget_run(job, attempt_key)
  add_run(job, at)
  redis.call('ZADD', base .. ':open', 0, entry_of(job, at))
end
write_run(job, at, run)
return 1
