-- Write what is known of jobs; claims are not touched.
--
-- KEYS[1]  the store's base
-- ARGV     name, record (JSON), next_due_ns ('' for none); and so on for each job
--
-- Result: {{name, record, next_due_ns, last_due, seen_us}, ...}; last_due is '' if none was claimed

local stored = {}
for at = 1, #ARGV, 3 do
  local name, record, next_due_ns = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local key = base .. ':job:' .. name
  redis.call('HSET', key, 'record', record, 'next_due_ns', next_due_ns, 'seen_us', text(now_us))
  redis.call('ZADD', base .. ':jobs', 0, name)
  stored[#stored + 1] = {name, record, next_due_ns, redis.call('HGET', key, 'last_due') or '', text(now_us)}
end
return stored
