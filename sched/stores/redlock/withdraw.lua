-- Take back a vote that did not make a majority, as if it had never been given. It is not published as freed, because
-- no client had a lease, and the client that asked for the vote would be woken first.
--
-- KEYS[1]  the store's base
-- ARGV     resource, token, JOB ('' for a lock by hand), run_id, DUE, the number of the request
--
-- Result: 1

local resource, job = ARGV[1], ARGV[3]
if not is_granted_to(grant_of(resource), ARGV[2], ARGV[6]) then return 1 end
take_off(resource)
if job == '' then return 1 end
local attempt_key, run = latest_of(job, ARGV[5])
if not run or run[RUN_ID] ~= ARGV[4] or run[OUTCOME] ~= '' then return 1 end

forget_run(job, attempt_key)
local record, dues = base .. ':record:' .. job, base .. ':dues:' .. job
if redis.call('HGET', record, 'last_due') == ARGV[5] then -- the vote may have been noted as the job's latest claim
  redis.call('HDEL', record, 'last_due')
  for at = 0, redis.call('ZCARD', dues) - 1 do
    local latest = redis.call('ZREVRANGE', dues, at, at)[1]
    local claim = read_run(job, latest)
    if claim and claim[KIND] == 'scheduled' then
      redis.call('HSET', record, 'last_due', string.sub(latest, 1, 20))
      break
    end
  end
end
if redis.call('ZCARD', dues) == 0 and redis.call('HEXISTS', record, 'last_due') == 0 then
  redis.call('ZREM', base .. ':ledgers', job)
end
local before, died = latest_of(job, ARGV[5])
if died and died[OUTCOME] == 'orphaned' and died[ENDED_US] == run[CLAIMED_US] then -- by this claim
  died[OUTCOME], died[ENDED_US] = '', ''
  write_run(job, before, died)
  redis.call('ZADD', base .. ':open', 0, entry_of(job, before))
end
return 1
