-- Write an attempt that other servers know as settled, if this one does not know it or has no end for it.
--
-- KEYS[1]  the store's base
-- ARGV     JOB, DUE, DUE/ATTEMPT, the attempt's JSON list
--
-- Result: 1 if this server has it now, 0 if it has a later attempt, or another end

local job, due = ARGV[1], ARGV[2]
local attempt_key, run = latest_of(job, due)
if attempt_key and (attempt_key > ARGV[3] or run[OUTCOME] ~= '') then return 0 end
touch(job)
if attempt_key then forget_run(job, attempt_key) end
add_run(job, ARGV[3])
redis.call('HSET', base .. ':runs:' .. job, ARGV[3], ARGV[4])
note_claim(job, due, cjson.decode(ARGV[4])[KIND])
return 1
