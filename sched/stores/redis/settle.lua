-- Write how a claimed occurrence ended, and free its resource if its own lease is still on it.
--
-- KEYS[1]       the store's base
-- ARGV[1]-[5]   resource, token, JOB, run_id, DUE
-- ARGV[6]-[9]   outcome, detail, started_ns, lateness_ns ('' for none)
-- ARGV[10]      the id of the call: sent again after a broken connection, it gets the same answer
-- ARGV[11]-[12] started_after_us, ran_ns ('' for none): see run_times.py
--
-- Result: {recorded, released, DUE/ATTEMPT, the attempt's JSON list}; recorded and released are 1 or 0; the
--         attempt is the one that this run has settled, now or earlier, or both are ''; with DUE/ATTEMPT '-'
--         the occurrence is not known here

local resource, job = ARGV[1], ARGV[3]
local attempt_key, run = latest_of(job, ARGV[5])
local ours = run and run[RUN_ID] == ARGV[4]
local function answer(recorded, released)
  if ours and run[OUTCOME] ~= '' and run[OUTCOME] ~= 'orphaned' then
    return {recorded, released, attempt_key, cjson.encode(run)}
  end
  return {recorded, released, run and '' or '-', ''}
end
if ours and run[SETTLED_BY] == ARGV[10] .. '+' then return answer(1, 1) end
if ours and run[SETTLED_BY] == ARGV[10] .. '-' then return answer(1, 0) end

-- When the run started and ended by this server's clock; run_times.py does the same for the other stores.
local function times()
  local started_ns, after_us, ran_ns = ARGV[8], ARGV[11], tonumber(ARGV[12])
  if started_ns == '' or not ran_ns then return started_ns, text(now_us) end
  local ran_us = math.ceil(ran_ns / 1000)
  local started_us = tonumber(string.sub(started_ns, 1, -4)) or 0
  if after_us ~= '' then started_us = tonumber(run[CLAIMED_US]) + tonumber(after_us) end
  local ended_us = math.min(started_us + ran_us, now_us)
  -- The end is kept to the microsecond, the start to the nanosecond: between them lies what was measured.
  return text(ended_us - ran_us) .. string.format('%03d', ran_us * 1000 - ran_ns), text(ended_us)
end

local released, recorded = 0, 0
local held = lease_of(resource)
if held and held.token == ARGV[2] and held.run_id == ARGV[4] then
  free(resource)
  released = held.live and 1 or 0
end
if ours and run[OUTCOME] == '' then
  recorded = 1
  local started_ns, ended_us = times()
  run[DETAIL], run[STARTED_NS], run[LATENESS_NS] = ARGV[7], started_ns, ARGV[9]
  run[RAN_NS] = ARGV[12]
  run[SETTLED_BY] = ARGV[10] .. (released == 1 and '+' or '-')
  end_run(job, attempt_key, run, ARGV[6], ended_us)
end
return answer(recorded, released)
