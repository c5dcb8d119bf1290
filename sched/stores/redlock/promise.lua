-- Promise to accept nothing of an earlier ballot any more, and show what this server has accepted.
--
-- KEYS[1]  the store's base
-- ARGV     BALLOT: digits, so that later ones are greater as texts on every server
--
-- Result: {1, BALLOT, that of what was accepted ('' for nothing), version, text, act, wall_us, the server's time in us};
--         {0, BALLOT} if an equal or later one was promised

local key = base .. ':control'
local known = redis.call('HMGET', key, 'promised', 'ballot', 'version', 'text', 'act', 'wall_us')
if known[1] and known[1] >= ARGV[1] then return {0, known[1]} end
redis.call('HSET', key, 'promised', ARGV[1])
return {1, ARGV[1], known[2] or '', known[3] or '0', known[4] or '', known[5] or '', known[6] or '0', text(now_us)}
