-- Take back an abandonment that did not make a majority.
--
-- KEYS[1]  the store's base
-- ARGV     JOB, DUE, the id of the call that abandoned it
--
-- Result: 1

local attempt_key, run = latest_of(ARGV[1], ARGV[2])
if run and run[OUTCOME] == 'orphaned' and run[SETTLED_BY] == ARGV[3] then
  run[OUTCOME], run[ENDED_US], run[SETTLED_BY] = '', '', ''
  write_run(ARGV[1], attempt_key, run)
  redis.call('ZADD', base .. ':open', 0, entry_of(ARGV[1], attempt_key))
end
return 1
