-- Return what this server knows of an occurrence.
--
-- KEYS[1]  the store's base
-- ARGV     JOB, DUE
--
-- Result: {state, DUE/ATTEMPT, the attempt's JSON list}; state is 'unknown', 'running', 'abandoned' or 'settled'

local attempt_key, run = latest_of(ARGV[1], ARGV[2])
if not run then return {'unknown', '', ''} end
local state = run[OUTCOME] ~= '' and 'settled' or is_running(run) and 'running' or 'abandoned'
return {state, attempt_key, cjson.encode(run)}
