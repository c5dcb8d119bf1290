-- Grant a lease if the resource is free.
--
-- KEYS[1]       the store's base
-- ARGV[1]-[6]   resource, token, owner, service, job, run_id
-- ARGV[7]-[9]   ttl_ns, ttl_ms, least fence and number of the request (0: the server's clock)
--
-- Result: {'granted', fence, expired_owner}
--      or {'refused', owner, service, job, run_id, fence, rest_us, ttl_ns, token}

local resource, expired_owner = ARGV[1], ''
if redis.call('HGET', base .. ':lease:' .. resource, 'token') then -- seldom: a release deletes it
  local held = lease_of(resource)
  if held and held.live then
    if held.token ~= ARGV[2] then return refused(held) end
    grant_again(ARGV, held)
    return {'granted', held.fence, held.expired_owner}
  end
  expired_owner = held and held.owner or ''
end
return {'granted', grant(ARGV, expired_owner), expired_owner}
