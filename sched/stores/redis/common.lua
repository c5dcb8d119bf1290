-- What all scripts of a store share; it is put in front of each of them, without the functions and values that the
-- script does not use (script_text.py), so there is an empty line before and after each of them and none in it. The lines
-- before it set DB, the number of the database, WRITES, whether the script writes, and CHECKS, whether it is refused on
-- a store of another layout.
--
-- KEYS[1]  the store's base: its prefix in braces. All keys begin with it, so they share one slot of a cluster.
--
-- A JOB is SERVICE/NAME, as JobId writes it: services may use the same names.
--
--   BASE:layout          string: the layout of these keys, see LAYOUT
--   BASE:fence           hash: the last fence granted on the resources of a bucket. Buckets keep it small, and
--                        different resources seldom share one
--   BASE:fences          string, in place of the hash that layout 1 had there: an instance that knows only that layout
--                        is refused by it when it starts, and at each claim
--   BASE:lock:RESOURCE   the token of the live lease; ends by itself (PX)
--   BASE:lease:RESOURCE  hash: the lease as last granted, live or expired; a release deletes it, and so does pruning.
--                        There is room for a field `stop`: why its run is asked to stop
--   BASE:leases          sorted set: the resources that have such a hash
--   BASE:record:JOB      hash: record, next_due_ns and seen_us of a registered job; last_due of a claimed one
--   BASE:jobs            sorted set: the registered jobs
--   BASE:ledgers         sorted set: the jobs that have attempts
--   BASE:dues:JOB        sorted set: the job's attempts, DUE/ATTEMPT in 20 and 6 digits
--   BASE:runs:JOB        hash: DUE/ATTEMPT -> the attempt, a JSON list of texts (see below)
--   BASE:runs            sorted set: the attempts of all jobs, DUE JOB NUL ATTEMPT
--   BASE:open            sorted set: those of them that are not settled
--   BASE:instances       hash: incarnation -> the record of an instance, a JSON list of texts (see write_instance)
--   BASE:jobsets         hash: fingerprint -> the names of the jobs of such instances, a JSON list
--                        (versions before these two do not know them, and leave them alone)
--   BASE:control         hash: what operators have asked for: version, text, and the latest act with its wall_us; with
--                        Redlock also the ballot that it was accepted in, and the latest one that was promised
--   BASE:acts            sorted set: the acts that made its versions, VERSION in 20 digits and a JSON list of texts: wall_us,
--                        act, ballot ('' but with Redlock)
--                        (versions before these two do not know them, and leave them alone)
--   BASE:freed:DB:RESOURCE
--                        channel: the resource was freed; the messages are empty
--   BASE:claimed:DB:SERVICE:SEAT
--                        channel: DUE NAME NUL OWNER of a claim that an owner with this seat has won (channels.py; not
--                        with Redlock, where it is a vote)
--
-- A person may delete any of these keys. A list may then name what is not there any more: scripts that read go on and
-- name such an entry in their answer, and scripts that write drop it or write what it names anew. A claim whose row is
-- gone was never made.
--
-- All sorted sets have the score 0 and are read in the order of their bytes. DUE is due_ns + 2^63.

local LAYOUT = '2'

local base = KEYS[1]

-- Return the layout of the keys, nil if there are none yet; and whether BASE:layout says so. A person may have deleted
-- what marks it: then the keys that only one layout has tell it. What is taken for an older layout is migrated, so in
-- doubt it is ours. (The pcall, because rights.lua names a key that another program has written.)
local function layout_found()
  local layout = redis.call('GET', base .. ':layout')
  if layout then return layout, true end
  if redis.call('TYPE', base .. ':fences')['ok'] == 'string' then -- BASE:layout was deleted by hand
    return string.match(redis.call('GET', base .. ':fences'), '^These keys have layout (%S+):') or '1'
  end
  if redis.call('EXISTS', base .. ':1:jobs', base .. ':1:ledgers') > 0 then return '1>2' end
  if redis.call('EXISTS', base .. ':fence') == 1 then return LAYOUT end
  if redis.call('EXISTS', base .. ':fences') == 1 then return '1' end
  local keys = 0
  for _, list in ipairs({':jobs', ':ledgers'}) do
    for _, name in ipairs(redis.pcall('ZRANGE', base .. list, 0, 9)) do
      if redis.call('EXISTS', base .. ':job:' .. name, base .. ':due:' .. name) > 0 then return '1' end
      keys = keys + 1
    end
  end
  if keys > 0 then return LAYOUT end
end

local function mark_layout(layout)
  redis.call('SET', base .. ':layout', layout)
  redis.call('SET', base .. ':fences', 'These keys have layout ' .. layout .. ': upgrade this instance of Tickglass')
end

if CHECKS then
  local found, marked = layout_found()
  if found and found ~= LAYOUT then return redis.error_reply('LAYOUT ' .. found) end
  if not marked and WRITES then mark_layout(LAYOUT) end
end

local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]

-- The indices in an attempt's list.
local RUN_ID, OWNER, SERVICE, PREVIOUS, RESOURCE, FENCE = 1, 2, 3, 4, 5, 6
local CLAIMED_US, STARTED_NS, ENDED_US, OUTCOME, DETAIL, LATENESS_NS, SETTLED_BY = 7, 8, 9, 10, 11, 12, 13
-- What asked for it, and from when on it may start: that is always '' yet (when it is due).
local KIND, NOT_BEFORE_NS, RAN_NS, DECLARATION = 14, 15, 16, 17

-- Lua's numbers are doubles: exact for microseconds since 1970 until the year 2255, not for nanoseconds.
local function text(number) return string.format('%.0f', number) end

-- Return the resource's lease, live or not; nil if it was released or never taken.
local function lease_of(resource)
  local row = redis.call('HMGET', base .. ':lease:' .. resource, 'token', 'owner', 'service', 'job', 'run_id',
    'fence', 'ttl_ns', 'expired_owner', 'acquired_us', 'expires_us', 'question')
  if not row[1] then return nil end
  local rest_us = tonumber(row[10]) - now_us
  local live = redis.call('GET', base .. ':lock:' .. resource) == row[1]
  return {
    token = row[1], owner = row[2], service = row[3], job = row[4], run_id = row[5], fence = row[6], ttl_ns = row[7],
    expired_owner = row[8], acquired_us = row[9], question = tonumber(row[11] or row[6]), live = live,
    rest_us = live and math.max(1, rest_us) or math.min(0, rest_us),
  }
end

-- Return the first instant at which Redis sees a lease of ttl_ms, granted now, as ended.
local function expires_us(ttl_ms) return text((math.floor(now_us / 1000) + ttl_ms + 1) * 1000) end

local function bucket_of(resource) return string.sub(redis.sha1hex(resource), 1, 3) end

-- Return the next fence on a resource: greater than all before it, and not below the clock; so it also grows when
-- the last one was lost. With a floor (Redlock) the clock is that of the client.
local function next_fence(resource, floor)
  local bucket = bucket_of(resource)
  local last = tonumber(redis.call('HGET', base .. ':fence', bucket) or '0')
  local fence = text(math.max(last + 1, floor > 0 and floor or now_us))
  redis.call('HSET', base .. ':fence', bucket, fence)
  return fence
end

-- Grant the resource to the request in ask[1] to ask[9]: resource, token, owner, service, job, run_id, ttl_ns,
-- ttl_ms, floor. `expired_owner` had the lease that ended on it, or is ''. The floor is also the number of the request: later
-- requests of the same client have greater numbers. The lease keeps it as `question`; without a floor, its fence.
local function grant(ask, expired_owner)
  local resource, token, ttl_ms, floor = ask[1], ask[2], tonumber(ask[8]), tonumber(ask[9])
  local fence = next_fence(resource, floor)
  redis.call('SET', base .. ':lock:' .. resource, token, 'PX', ttl_ms)
  redis.call('HSET', base .. ':lease:' .. resource, 'token', token, 'owner', ask[3], 'service', ask[4],
    'job', ask[5], 'run_id', ask[6], 'fence', fence, 'ttl_ns', ask[7], 'expired_owner', expired_owner,
    'acquired_us', text(now_us), 'expires_us', expires_us(ttl_ms), 'question', floor > 0 and text(floor) or fence)
  redis.call('ZADD', base .. ':leases', 0, resource)
  return fence
end

-- The holder of the live lease asks for it again in ask[1] to ask[9]. For a later request (Redlock) this is a new
-- vote: it lasts as long as the votes of the other servers, and late messages of earlier requests do not end it.
local function grant_again(ask, held)
  local ttl_ms, floor = tonumber(ask[8]), tonumber(ask[9])
  if held.token ~= ask[2] or floor <= held.question then return end
  redis.call('PEXPIRE', base .. ':lock:' .. ask[1], ttl_ms)
  redis.call('HSET', base .. ':lease:' .. ask[1], 'ttl_ns', ask[7], 'expires_us', expires_us(ttl_ms),
    'question', text(floor))
end

-- Return of a resource's lease, live or not, only what tells whether it is somebody's; nil as lease_of.
local function grant_of(resource)
  local row = redis.call('HMGET', base .. ':lease:' .. resource, 'token', 'owner', 'fence', 'question')
  if not row[1] then return nil end
  local live = redis.call('GET', base .. ':lock:' .. resource) == row[1]
  return {token = row[1], owner = row[2], question = tonumber(row[4] or row[3]), live = live}
end

-- Whether this lease was granted to the token for this request or an earlier one: a message may be so late that the
-- same token was granted the lease again meanwhile.
local function is_granted_to(held, token, question)
  return held ~= nil and held.token == token and held.question <= tonumber(question)
end

-- Take the lease off the resource; the caller has compared the token.
local function take_off(resource)
  redis.call('DEL', base .. ':lock:' .. resource, base .. ':lease:' .. resource)
  redis.call('ZREM', base .. ':leases', resource)
end

-- Publish a hint, if a connection is subscribed: otherwise the replicas, or the other nodes of a cluster, would get it
-- for nothing. Its failure must not abort the script; where PUBSUB is forbidden, it is published in any case.
local function publish(channel, message)
  if redis.pcall('PUBSUB', 'NUMSUB', channel)[2] ~= 0 then redis.pcall('PUBLISH', channel, message) end
end

-- The same as take_off, and publish it for waiters.
local function free(resource)
  take_off(resource)
  publish(base .. ':freed:' .. DB .. ':' .. resource, '')
end

-- Read the keys of a job that are written later: if one has another type, the script is aborted before it has
-- written anything. Those of its attempts and of a lease are read anyway, and RIGHTS checks those of the store.
local function touch(job)
  redis.call('HEXISTS', base .. ':record:' .. job, 'record')
  redis.call('HLEN', base .. ':runs:' .. job)
end

local function refused(held)
  return {'refused', held.owner, held.service, held.job, held.run_id, held.fence, text(held.rest_us), held.ttl_ns,
    held.token}
end

-- Return an attempt; nil if its row was deleted by hand.
local function read_run(job, attempt_key)
  local packed = redis.call('HGET', base .. ':runs:' .. job, attempt_key)
  return packed and cjson.decode(packed) or nil
end

local function write_run(job, attempt_key, run)
  redis.call('HSET', base .. ':runs:' .. job, attempt_key, cjson.encode(run))
end

-- Return DUE JOB NUL ATTEMPT, from a job and its DUE/ATTEMPT.
local function entry_of(job, attempt_key)
  return string.sub(attempt_key, 1, 20) .. job .. '\0' .. string.sub(attempt_key, 22)
end

-- Return the job and its DUE/ATTEMPT, from DUE JOB NUL ATTEMPT.
local function job_and_attempt_of(entry)
  return string.sub(entry, 21, -8), string.sub(entry, 1, 20) .. '/' .. string.sub(entry, -6)
end

-- Return the latest attempt at an occurrence: its DUE/ATTEMPT and its list; nil if there is none.
local function latest_of(job, due)
  local attempt_keys = redis.call('ZREVRANGEBYLEX', base .. ':dues:' .. job, '[' .. due .. '0', '[' .. due .. '/')
  for _, attempt_key in ipairs(attempt_keys) do
    local run = read_run(job, attempt_key)
    if run then return attempt_key, run end
  end
end

-- Add an attempt to the lists; `forget_run` removes it from all of them.
local function add_run(job, attempt_key)
  redis.call('ZADD', base .. ':dues:' .. job, 0, attempt_key)
  redis.call('ZADD', base .. ':runs', 0, entry_of(job, attempt_key))
end

local function forget_run(job, attempt_key)
  redis.call('ZREM', base .. ':dues:' .. job, attempt_key)
  redis.call('HDEL', base .. ':runs:' .. job, attempt_key)
  redis.call('ZREM', base .. ':runs', entry_of(job, attempt_key))
  redis.call('ZREM', base .. ':open', entry_of(job, attempt_key))
end

-- Note that an occurrence was claimed; return whether it is the job's latest, and whether the job is registered. Only
-- scheduled ones count. With `ahead_us`, a noted instant that lies further ahead than that does not count: no instance
-- may claim it now.
local function note_claim(job, due, kind, ahead_us)
  local known = redis.call('HMGET', base .. ':record:' .. job, 'record', 'last_due')
  if not known[2] then redis.call('ZADD', base .. ':ledgers', 0, job) end
  if kind ~= 'scheduled' then return false, known[1] end
  local latest = not known[2] or known[2] < due
  if not latest and ahead_us then -- as a double, DUE is exact to 2 us
    latest = (tonumber(known[2]) - 2 ^ 63) / 1000 > now_us + ahead_us
  end
  if latest then redis.call('HSET', base .. ':record:' .. job, 'last_due', due) end
  return latest, known[1]
end

-- Whether an attempt's own lease is live; jobs may share a resource.
local function is_running(run)
  local held = lease_of(run[RESOURCE])
  return held ~= nil and held.live and held.fence == run[FENCE], held
end

local function end_run(job, attempt_key, run, outcome, ended_us)
  run[OUTCOME], run[ENDED_US] = outcome, ended_us or text(now_us)
  write_run(job, attempt_key, run)
  redis.call('ZREM', base .. ':open', entry_of(job, attempt_key))
end

-- Write a part of a JOB as JobId does: no two jobs have the same text.
local function escaped(part) return (string.gsub(string.gsub(part, '%%', '%%25'), '/', '%%2F')) end

local function job_of(service, name) return escaped(service) .. '/' .. escaped(name) end

-- Replace what operators have asked for, and log the act; the latest `kept` acts stay, and none of a later version: a
-- person deleted the record that it made.
local function write_act(version, record, act, wall_us, ballot, kept)
  local function at(number) return string.format('%020.0f', math.max(0, number)) end
  local acts, number = base .. ':acts', tonumber(version)
  redis.call('HSET', base .. ':control', 'version', version, 'text', record, 'act', act, 'wall_us', wall_us,
    'ballot', ballot)
  redis.call('ZREMRANGEBYLEX', acts, '-', '(' .. at(number - kept + 1))
  redis.call('ZREMRANGEBYLEX', acts, '[' .. at(number), '+')
  if number == 0 then return end -- with Redlock it may have to be agreed on that there was no act yet
  redis.call('ZADD', acts, 0, at(number) .. cjson.encode({wall_us, act, ballot}))
end

-- Return a page of a sorted set: the entries after `after` ('' for the first page), and where the next page begins.
local function page_of(key, after, count)
  local entries = redis.call('ZRANGEBYLEX', key, after == '' and '-' or '(' .. after, '+', 'LIMIT', 0, count)
  return entries, #entries == tonumber(count) and entries[#entries] or ''
end

local function write_instance(incarnation, service, owner, version, fingerprint, state)
  local record = cjson.encode({service, owner, version, fingerprint, state, text(now_us)})
  redis.call('HSET', base .. ':instances', incarnation, record)
end

