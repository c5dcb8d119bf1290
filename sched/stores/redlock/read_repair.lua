-- Write an attempt that was settled elsewhere, where it is not known or not settled.
--
-- KEYS[1]  the store's base
-- ARGV     job, DUE, DUE/ATTEMPT, the attempt's JSON list
--
-- Result: 1 if this server has it now, 0 if it knows of a later attempt, or of another end

local job, due = ARGV[1], ARGV[2]
local place, run = latest_of(job, due)
if place and (place > ARGV[3] or run[OUTCOME] ~= '') then return 0 end
touch(job)
if place then forget_run(job, place) end
add_run(job, ARGV[3])
redis.call('HSET', base .. ':run:' .. job, ARGV[3], ARGV[4])
note_claim(job, due)
return 1
