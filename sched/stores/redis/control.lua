-- Show what operators have asked for.
--
-- KEYS[1]  the store's base
-- ARGV     nothing
--
-- Result: {version, text}; {'0', ''} before the first act

local stands = redis.call('HMGET', base .. ':control', 'version', 'text')
return {stands[1] or '0', stands[2] or ''}
