-- Replace what operators have asked for, if what stands is the version before, and log the act.
--
-- KEYS[1]  the store's base
-- ARGV     version, the record's text, act, how many acts to keep
--
-- Result: 1; 0 if another version stands. Sent again it gets the same answer, until another act follows

local stands = redis.call('HMGET', base .. ':control', 'version', 'act')
redis.call('ZCARD', base .. ':acts') -- a key of another type aborts the script before it has written anything
local version = tonumber(stands[1] or '0')
if version == tonumber(ARGV[1]) then return stands[2] == ARGV[3] and 1 or 0 end
if version ~= ARGV[1] - 1 then return 0 end
write_act(ARGV[1], ARGV[2], ARGV[3], text(now_us), '', tonumber(ARGV[4]))
return 1
