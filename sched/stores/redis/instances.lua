-- Show the records of instances.
--
-- KEYS[1]  the store's base
-- ARGV     nothing
--
-- Result: {{incarnation, record (JSON), silent_us}, ...}

local shown = {}
local rows = redis.call('HGETALL', base .. ':instances')
for at = 1, #rows, 2 do
  local seen_us = cjson.decode(rows[at + 1])[6]
  shown[#shown + 1] = {rows[at], rows[at + 1], text(now_us - tonumber(seen_us))}
end
return shown
