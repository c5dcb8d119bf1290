-- Show leases by resource, including expired ones that no owner has taken since.
--
-- KEYS[1]  the store's base
-- ARGV     the resource after which the page begins ('' for the first), how many
--
-- Result: {next, {resource, owner, service, job, run_id, fence, ttl_ns, acquired_us, held_us, rest_us}, ...}; of a lease
--         that was deleted by hand {resource}

local resources, next_page = page_of(base .. ':leases', ARGV[1], ARGV[2])
local shown = {next_page}
for _, resource in ipairs(resources) do
  local held = lease_of(resource)
  if held then
    shown[#shown + 1] = {resource, held.owner, held.service, held.job, held.run_id, held.fence, held.ttl_ns,
      held.acquired_us, text(now_us - tonumber(held.acquired_us)), text(held.rest_us)}
  else
    shown[#shown + 1] = {resource}
  end
end
return shown
