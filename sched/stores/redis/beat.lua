-- Write the record of an instance again, if it is there.
--
-- KEYS[1]      the store's base
-- ARGV[1]-[6]  incarnation, service, owner, version, fingerprint, state
--
-- Result: 'known'; 'partly' if the names of its jobs are missing; 'forgotten' if it was not there: nothing is written

if redis.call('HEXISTS', base .. ':instances', ARGV[1]) == 0 then return 'forgotten' end
local named = redis.call('HEXISTS', base .. ':jobsets', ARGV[5]) == 1
write_instance(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6])
return named and 'known' or 'partly'
