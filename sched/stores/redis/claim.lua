-- Claim an occurrence and take the lease on its resource: both or neither.
--
-- KEYS[1]        the store's base
-- ARGV[1]-[6]    resource, token, owner, service, the job's name, run_id
-- ARGV[7]-[9]    ttl_ns, ttl_ms, least fence and number of the request (0: the server's clock)
-- ARGV[10]-[12]  DUE, next_due_ns ('' for none), whether an abandoned occurrence may be claimed again ('1', '0')
-- ARGV[13]-[14]  due_us, and how far ahead of the server's clock, in us, that may lie ('' for any)
-- ARGV[15]-[17]  JOB: its service and its name; the declaration that the claimant has of it; the claimant's seat
-- ARGV[18]       what asked for the occurrence
--
-- Result: {'claimed', fence, expired_owner, attempt, previous_run_id}
--      or {'already', owner, outcome, run_id, service, fence, rest_us, age_us, attempt}; outcome is '' if it is not
--         settled
--      or {'ahead', early_us}: it comes early_us too early
--      or {'refused', owner, service, job, run_id, fence, rest_us, ttl_ns, token}

local job, run_id, due = ARGV[15], ARGV[6], ARGV[10]
local attempt_key, died = latest_of(job, due)
local attempt = 1
if died then
  local running, lease = is_running(died)
  attempt = tonumber(string.sub(attempt_key, 22))
  if running and died[OUTCOME] == '' and died[RUN_ID] == run_id then
    grant_again(ARGV, lease)
    return {'claimed', died[FENCE], lease.expired_owner, attempt, died[PREVIOUS]}
  end
  if running or died[OUTCOME] ~= '' or ARGV[12] ~= '1' then
    return {'already', died[OWNER], died[OUTCOME], died[RUN_ID], died[SERVICE], died[FENCE],
      text(running and lease.rest_us or 0), text(now_us - tonumber(died[CLAIMED_US])), attempt}
  end
  attempt = attempt + 1
end
local ahead_us = tonumber(ARGV[14]) -- nil for any
local early_us = ahead_us and tonumber(ARGV[13]) - ahead_us - now_us or 0
if early_us > 0 then return {'ahead', text(early_us)} end
local held = lease_of(ARGV[1])
if held and held.live then return refused(held) end

touch(job)
if died then end_run(job, attempt_key, died, 'orphaned') end
local latest, registered = note_claim(job, due, ARGV[18], ahead_us)
if latest and registered then
  redis.call('HSET', base .. ':record:' .. job, 'next_due_ns', ARGV[11], 'seen_us', text(now_us))
end
local expired_owner = held and held.owner or ''
local fence = grant(ARGV, expired_owner)
local previous = died and died[RUN_ID] or ''
attempt_key = string.format('%s/%06d', due, attempt)
write_run(job, attempt_key, {run_id, ARGV[3], ARGV[4], previous, ARGV[1], fence, text(now_us), '', '', '', '', '', '',
  ARGV[18], '', '', ARGV[16]})
add_run(job, attempt_key)
redis.call('ZADD', base .. ':open', 0, entry_of(job, attempt_key))
if ARGV[9] == '0' then
  publish(table.concat({base, 'claimed', DB, ARGV[4], ARGV[17]}, ':'), due .. ARGV[5] .. '\0' .. ARGV[3])
end
return {'claimed', fence, expired_owner, attempt, previous}
