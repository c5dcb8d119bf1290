-- Show the acts of operators, newest first.
--
-- KEYS[1]  the store's base
-- ARGV     VERSION below which the page begins ('' for the first page), how many
--
-- Result: {next, VERSION and the act's JSON list as one text, ...}; next is '' after the last page

local newest = ARGV[1] == '' and '+' or '(' .. ARGV[1]
local acts = redis.call('ZREVRANGEBYLEX', base .. ':acts', newest, '-', 'LIMIT', 0, ARGV[2])
local next_page = #acts == tonumber(ARGV[2]) and string.sub(acts[#acts], 1, 20) or ''
return {next_page, unpack(acts)}
