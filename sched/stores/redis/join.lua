-- Write the record of an instance and the names of its jobs; delete the records that need not be kept.
--
-- KEYS[1]       the store's base
-- ARGV[1]-[6]   incarnation, service, owner, version, fingerprint, state
-- ARGV[7]       the names of its jobs (JSON)
-- ARGV[8]-[11]  in us: after what silence an instance is not living, how long to keep one that left, and one that is
--               silent; how many of both to keep
--
-- Result: 1

redis.call('HEXISTS', base .. ':jobsets', ARGV[5]) -- of another type: abort before anything is written
write_instance(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6])
redis.call('HSET', base .. ':jobsets', ARGV[5], ARGV[7])

local gone, used = {}, {}
local rows = redis.call('HGETALL', base .. ':instances')
for at = 1, #rows, 2 do
  local it = cjson.decode(rows[at + 1])
  local silent_us, left = now_us - tonumber(it[6]), it[5] == 'left'
  if left or silent_us >= tonumber(ARGV[8]) then
    gone[#gone + 1] = {rows[at], silent_us, tonumber(left and ARGV[9] or ARGV[10]), it[4]}
  else
    used[it[4]] = true
  end
end
table.sort(gone, function(a, b) return a[2] < b[2] end)
for at, it in ipairs(gone) do
  if at > tonumber(ARGV[11]) or it[2] >= it[3] then
    redis.call('HDEL', base .. ':instances', it[1])
  else
    used[it[4]] = true
  end
end
for _, fingerprint in ipairs(redis.call('HKEYS', base .. ':jobsets')) do
  if not used[fingerprint] then redis.call('HDEL', base .. ':jobsets', fingerprint) end
end
return 1
