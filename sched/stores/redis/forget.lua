-- Delete a job's record and its attempts, a page at a time; leases stay.
--
-- KEYS[1]  the store's base
-- ARGV     JOB, how many attempts to delete at most: the server serves no other call meanwhile
--
-- Result: {whether there was something, whether there is more}; each 1 or 0. The record goes last

local job = ARGV[1]
local record, dues, runs = base .. ':record:' .. job, base .. ':dues:' .. job, base .. ':runs:' .. job
local found = redis.call('EXISTS', record, dues, runs) > 0 and 1 or 0
for _, attempt_key in ipairs(redis.call('ZRANGE', dues, 0, ARGV[2] - 1)) do forget_run(job, attempt_key) end
if redis.call('ZCARD', dues) > 0 then return {1, 1} end
redis.call('DEL', record, dues, runs)
redis.call('ZREM', base .. ':jobs', job)
redis.call('ZREM', base .. ':ledgers', job)
return {found, 0}
