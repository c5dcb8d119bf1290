-- Write the records of jobs; claims are not touched.
--
-- KEYS[1]  the store's base
-- ARGV     JOB, record (JSON), next_due_ns ('' for none); and so on for each job
--
-- Result: {{JOB, record, next_due_ns, last_due, seen_us, before...}, ...}; last_due is '' if none was claimed;
--         `before` are the record, next_due_ns and seen_us that were replaced, or nothing if the job was not known

for at = 1, #ARGV, 3 do touch(ARGV[at]) end
local stored = {}
for at = 1, #ARGV, 3 do
  local job, record, next_due_ns = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local key = base .. ':record:' .. job
  local before = redis.call('HMGET', key, 'record', 'next_due_ns', 'seen_us', 'last_due')
  redis.call('HSET', key, 'record', record, 'next_due_ns', next_due_ns, 'seen_us', text(now_us))
  redis.call('ZADD', base .. ':jobs', 0, job)
  local row = {job, record, next_due_ns, before[4] or '', text(now_us)}
  if before[1] then row[6], row[7], row[8] = before[1], before[2], before[3] end
  stored[#stored + 1] = row
end
return stored
