-- Show what operators have asked for, as this server has accepted it.
--
-- KEYS[1]  the store's base
-- ARGV     a version: the text of that one is not shown
--
-- Result: {BALLOT, version, text}; {'', '0', ''} if it has accepted nothing

local known = redis.call('HMGET', base .. ':control', 'ballot', 'version')
local version = known[2] or '0'
local shown = version ~= ARGV[1] and redis.call('HGET', base .. ':control', 'text')
return {known[1] or '', version, shown or ''}
