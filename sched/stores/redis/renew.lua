-- Extend a live lease by its TTL from now, if the token holds it.
--
-- KEYS[1]  the store's base
-- ARGV     resource, token, ttl_ns, ttl_ms
--
-- Result: {'renewed'} or {'gone', owner}; owner is '' if it is free

local held = lease_of(ARGV[1])
if not held or not held.live then return {'gone', ''} end
if held.token ~= ARGV[2] then return {'gone', held.owner} end
redis.call('PEXPIRE', base .. ':lock:' .. ARGV[1], ARGV[4])
redis.call('HSET', base .. ':lease:' .. ARGV[1], 'ttl_ns', ARGV[3], 'expires_us', expires_us(tonumber(ARGV[4])))
return {'renewed'}
