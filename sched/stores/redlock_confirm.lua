-- Write down what a majority agreed on, before it is used: the fence, and which attempt it is.
--
-- KEYS[1]  the store's base
-- ARGV     resource, token, job ('' for a lock by hand), run_id, DUE, fence, DUE/ATTEMPT, previous_run_id
--
-- Result: 1 if this server has the lease under this token, 0 if not; the fence is kept in either case

local resource, job, fence = ARGV[1], ARGV[3], ARGV[6]
local bucket = bucket_of(resource)
if tonumber(redis.call('HGET', base .. ':fences', bucket) or '0') < tonumber(fence) then
  redis.call('HSET', base .. ':fences', bucket, fence)
end
local held = lease_of(resource)
if not held or held.token ~= ARGV[2] then return 0 end
redis.call('HSET', base .. ':lease:' .. resource, 'fence', fence)
if job == '' then return 1 end
local place, run = latest_of(job, ARGV[5])
if not run or run[RUN_ID] ~= ARGV[4] or run[OUTCOME] ~= '' then return 0 end
run[FENCE], run[PREVIOUS] = fence, ARGV[8]
if place ~= ARGV[7] then
  forget_run(job, place)
  add_run(job, ARGV[7])
  redis.call('ZADD', base .. ':open', 0, entry_of(job, ARGV[7]))
end
write_run(job, ARGV[7], run)
return 1
