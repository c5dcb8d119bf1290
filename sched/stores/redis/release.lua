-- Free a resource if the token holds it, or held it last, by this grant: compare and delete.
--
-- KEYS[1]  the store's base
-- ARGV     resource, token, the lease's fence (Redlock: the number of a question after all that were asked for it)
--
-- Result: {'released'}, or {'gone', owner} if it was not, or no longer, held; owner is '' if nobody has it

local held = lease_of(ARGV[1])
if not held then return {'gone', ''} end
if not is_granted_to(held, ARGV[2], ARGV[3]) then return {'gone', held.live and held.owner or ''} end
free(ARGV[1])
return held.live and {'released'} or {'gone', ''}
