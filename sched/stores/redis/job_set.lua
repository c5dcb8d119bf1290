-- Show the names of the jobs of instances with a fingerprint.
--
-- KEYS[1]  the store's base
-- ARGV     fingerprint
--
-- Result: the names (JSON), or nothing if it is not known

return redis.call('HGET', base .. ':jobsets', ARGV[1])
