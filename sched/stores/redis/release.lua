-- Free a resource if the token holds it, or held it last, from this request: compare and delete.
--
-- KEYS[1]  the store's base
-- ARGV     resource, token, the lease's fence (Redlock: the number of a request after all those that asked for it)
--
-- Result: {'released'}, or {'gone', owner} if the token does not hold it, or no longer; owner is '' if it is free

local held = grant_of(ARGV[1])
if not held then return {'gone', ''} end
if not is_granted_to(held, ARGV[2], ARGV[3]) then return {'gone', held.live and held.owner or ''} end
free(ARGV[1])
return held.live and {'released'} or {'gone', ''}
