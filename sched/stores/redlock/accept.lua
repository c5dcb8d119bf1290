-- Accept what operators have asked for, with the act that made it, unless a later ballot was promised.
--
-- KEYS[1]  the store's base
-- ARGV     BALLOT, version, the record's text, act, wall_us, how many acts to keep
--
-- Result: 1, or 0 if it was not accepted

local key = base .. ':control'
local promised = redis.call('HGET', key, 'promised')
redis.call('ZCARD', base .. ':acts') -- a key of another type aborts the script before it has written anything
if promised and promised > ARGV[1] then return 0 end
redis.call('HSET', key, 'promised', ARGV[1])
write_act(ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[1], tonumber(ARGV[6]))
return 1
