-- Delete leases that ended long ago without a release. The fences of their resources are kept in BASE:fence.
--
-- KEYS[1]  the store's base
-- ARGV     the resource after which to go on ('' to begin), how many to look at, how long to keep in us
--
-- Result: {the resource after which to go on, more, the resources whose leases were deleted by hand}; more is 0 after
--         the last one

local ended_us = now_us - tonumber(ARGV[3])
local resources, next_page = page_of(base .. ':leases', ARGV[1], ARGV[2])
local missing = {}
for _, resource in ipairs(resources) do
  local expires_us = redis.call('HGET', base .. ':lease:' .. resource, 'expires_us')
  if not expires_us then missing[#missing + 1] = resource end
  if tonumber(expires_us or '0') < ended_us and redis.call('EXISTS', base .. ':lock:' .. resource) == 0 then take_off(resource) end
end
return {next_page, next_page ~= '' and 1 or 0, missing}
