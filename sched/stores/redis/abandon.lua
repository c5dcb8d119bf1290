-- Settle an abandoned claim as orphaned.
--
-- KEYS[1]       the store's base
-- ARGV[1]-[4]   JOB, DUE, DUE/ATTEMPT, run_id
-- ARGV[5]       the id of the call: sent again after a broken connection, it gets the same answer
--
-- Result: 1, or 0 if another instance was faster, or its lease is live, or -1 if the occurrence is not known here

local attempt_key, run = latest_of(ARGV[1], ARGV[2])
if not run then return -1 end
if attempt_key ~= ARGV[3] or run[RUN_ID] ~= ARGV[4] then return 0 end
if run[OUTCOME] ~= '' then return run[SETTLED_BY] == ARGV[5] and 1 or 0 end
if is_running(run) then return 0 end
run[SETTLED_BY] = ARGV[5]
end_run(ARGV[1], attempt_key, run, 'orphaned')
return 1
