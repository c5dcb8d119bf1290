-- Write how a claimed occurrence ended, and free its resource if its own lease is still on it.
--
-- KEYS[1]       the store's base
-- ARGV[1]-[5]   resource, token, job, run_id, DUE
-- ARGV[6]-[9]   outcome, detail, started_ns, lateness_ns ('' for none)
-- ARGV[10]      a number of the call: sent again after a broken connection, it gets the same answer
--
-- Result: {recorded, released, DUE/ATTEMPT, the attempt's JSON list}; recorded and released are 1 or 0; the
--         attempt is the one that this run has settled, now or earlier, or both are ''; with DUE/ATTEMPT '-'
--         the occurrence is not known here

local resource, job = ARGV[1], ARGV[3]
local place, run = latest_of(job, ARGV[5])
local ours = run and run[RUN_ID] == ARGV[4]
local function answer(recorded, released)
  if ours and run[OUTCOME] ~= '' and run[OUTCOME] ~= 'orphaned' then
    return {recorded, released, place, cjson.encode(run)}
  end
  return {recorded, released, run and '' or '-', ''}
end
if ours and run[SETTLED_BY] == ARGV[10] .. '+' then return answer(1, 1) end
if ours and run[SETTLED_BY] == ARGV[10] .. '-' then return answer(1, 0) end

local released, recorded = 0, 0
local held = lease_of(resource)
if held and held.token == ARGV[2] and held.run_id == ARGV[4] then
  free(resource)
  released = held.live and 1 or 0
end
if ours and run[OUTCOME] == '' then
  recorded = 1
  run[DETAIL], run[STARTED_NS], run[LATENESS_NS] = ARGV[7], ARGV[8], ARGV[9]
  run[SETTLED_BY] = ARGV[10] .. (released == 1 and '+' or '-')
  end_run(job, place, run, ARGV[6])
end
return answer(recorded, released)
