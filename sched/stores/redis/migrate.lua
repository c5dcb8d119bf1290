-- Turn keys of layout 1 into keys of layout 2, a page at a time; no other script runs on them meanwhile.
--
-- Layout 1 knew a job by its NAME alone, and a job's own resource was that name. Each attempt is given to the service
-- that made it, and each record to the service that registered last. A lease on a job's own resource moves to its new
-- name, with its fence and the rest of its time, so a run in progress keeps the next one from starting. Any client may
-- call the next page.
--
--   BASE:1:jobs, BASE:1:ledgers  the sorted sets of layout 1, as far as their jobs have not been moved
--   BASE:job:NAME, BASE:due:NAME, BASE:run:NAME  as the keys of layout 2 for a JOB: record, dues, runs
--
-- KEYS[1]  the store's base
-- ARGV     how many attempts to move at most: the server serves no other call meanwhile
--
-- Result: 1 if there is more to move, else 0

local layout = layout_found()
if layout == nil then mark_layout(LAYOUT) end
if layout ~= '1' and layout ~= '1>2' then return 0 end

if layout == '1' then
  if redis.call('EXISTS', base .. ':fences') == 1 then redis.call('RENAME', base .. ':fences', base .. ':fence') end
  for _, name in ipairs({':jobs', ':ledgers'}) do
    if redis.call('EXISTS', base .. name) == 1 then redis.call('RENAME', base .. name, base .. ':1' .. name) end
  end
  redis.call('UNLINK', base .. ':runs', base .. ':open') -- written anew with the attempts
  mark_layout('1>2')
end

-- Fences go on growing on the new name of a resource, even if this server's clock was set back.
local function keep_fence(from, to)
  local least = redis.call('HGET', base .. ':fence', bucket_of(from))
  local last = redis.call('HGET', base .. ':fence', bucket_of(to)) or '0'
  if least and tonumber(least) > tonumber(last) then redis.call('HSET', base .. ':fence', bucket_of(to), least) end
end

-- Move the lease on a job's own resource, if a run of the job has it, or had it last.
local function move_lease(name)
  local row = redis.call('HMGET', base .. ':lease:' .. name, 'service', 'job')
  if row[2] ~= name then return end
  local to = job_of(row[1], name)
  redis.call('RENAME', base .. ':lease:' .. name, base .. ':lease:' .. to)
  if redis.call('EXISTS', base .. ':lock:' .. name) == 1 then
    redis.call('RENAME', base .. ':lock:' .. name, base .. ':lock:' .. to)
  end
  redis.call('ZREM', base .. ':leases', name)
  redis.call('ZADD', base .. ':leases', 0, to)
end

local function move_record(name)
  move_lease(name)
  local row = redis.call('HMGET', base .. ':job:' .. name, 'record', 'next_due_ns', 'seen_us')
  if row[1] then
    local record = cjson.decode(row[1])
    local trigger, resource, owner, service = record[1], record[2], record[3], record[4]
    local job = job_of(service, name)
    if resource == name then
      keep_fence(name, job)
      resource = job
    end
    local numbers = string.match(row[1], ',([^,]+,[^,]+,[^,]+)%]$') -- as text: doubles are not exact to the nanosecond
    local words = string.sub(cjson.encode({trigger, resource, owner, service}), 1, -2)
    redis.call('HSET', base .. ':record:' .. job, 'record', words .. ',' .. numbers .. ']',
      'next_due_ns', row[2], 'seen_us', row[3])
    redis.call('ZADD', base .. ':jobs', 0, job)
  end
  redis.call('DEL', base .. ':job:' .. name)
end

local function move_attempt(name, attempt_key)
  local packed = redis.call('HGET', base .. ':run:' .. name, attempt_key)
  if not packed then -- it was deleted by hand
    redis.call('ZREM', base .. ':due:' .. name, attempt_key)
    return
  end
  local run = cjson.decode(packed)
  local job = job_of(run[SERVICE], name)
  if run[RESOURCE] == name then
    keep_fence(name, job)
    run[RESOURCE] = job
  end
  run[KIND], run[NOT_BEFORE_NS], run[RAN_NS], run[DECLARATION] = 'scheduled', '', '', ''
  write_run(job, attempt_key, run)
  add_run(job, attempt_key)
  if run[OUTCOME] == '' then redis.call('ZADD', base .. ':open', 0, entry_of(job, attempt_key)) end
  note_claim(job, string.sub(attempt_key, 1, 20), 'scheduled')
  redis.call('ZREM', base .. ':due:' .. name, attempt_key)
  redis.call('HDEL', base .. ':run:' .. name, attempt_key)
end

local left = tonumber(ARGV[1])
for _, name in ipairs(redis.call('ZRANGE', base .. ':1:jobs', 0, left - 1)) do
  move_record(name)
  redis.call('ZREM', base .. ':1:jobs', name)
  left = left - 1
end
while left > 0 do
  local name = redis.call('ZRANGE', base .. ':1:ledgers', 0, 0)[1]
  if not name then break end
  local attempt_keys = redis.call('ZRANGE', base .. ':due:' .. name, 0, left - 1)
  for _, attempt_key in ipairs(attempt_keys) do move_attempt(name, attempt_key) end
  left = left - #attempt_keys - 1
  if redis.call('EXISTS', base .. ':due:' .. name) == 0 then
    move_record(name) -- of a job that was claimed and never registered
    redis.call('DEL', base .. ':run:' .. name)
    redis.call('ZREM', base .. ':1:ledgers', name)
  end
end
if redis.call('EXISTS', base .. ':1:jobs', base .. ':1:ledgers') > 0 then return 1 end
mark_layout(LAYOUT)
return 0
