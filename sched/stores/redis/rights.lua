-- Tell what would break a script of this store off: what its user may not do here, and keys that are not ours.
--
-- A script that is broken off does not take back what it has written, so this is asked before the first that writes.
--
-- KEYS[1]  the store's base
-- ARGV     the channels that are used
--
-- Result: {{'COMMAND on which', ...}, {'KEY is a TYPE', ...}}; both empty if all is well

local missing, foreign = {}, {}

-- Every command of the scripts, by the keys that they use it on; NAME stands for that of a resource or a job.
local uses = {
  {':fences', 'HGET HSET TYPE'},
  {':lock:NAME', 'GET SET PEXPIRE DEL EXISTS'},
  {':lease:NAME', 'HGET HMGET HSET DEL'},
  {':leases', 'ZADD ZREM ZRANGEBYLEX TYPE'},
  {':job:NAME', 'HMGET HEXISTS HSET HDEL'},
  {':jobs', 'ZADD ZREM ZRANGEBYLEX TYPE'},
  {':ledgers', 'ZADD ZREM ZRANGEBYLEX TYPE'},
  {':due:NAME', 'ZADD ZREM ZCARD ZRANGE ZREVRANGE ZREVRANGEBYLEX'},
  {':run:NAME', 'HGET HLEN HSET HDEL'},
  {':runs', 'ZADD ZREM ZREVRANGEBYLEX TYPE'},
  {':open', 'ZADD ZREM ZRANGEBYLEX TYPE'},
}

local function need(command, what)
  if not redis.acl_check_cmd(command, what) then missing[#missing + 1] = command .. ' on ' .. what end
end

if redis.acl_check_cmd then -- since Redis 7, which is also the first where a user has no channels unless told so
  for _, use in ipairs(uses) do
    for command in string.gmatch(use[2], '%u+') do need(command, base .. use[1]) end
  end
  for _, channel in ipairs(ARGV) do
    need('PUBLISH', channel)
    need('SUBSCRIBE', channel)
  end
end

if #missing == 0 then
  local kinds = {fences = 'hash', leases = 'zset', jobs = 'zset', ledgers = 'zset', runs = 'zset', open = 'zset'}
  for name, wanted in pairs(kinds) do
    local kind = redis.call('TYPE', base .. ':' .. name)['ok']
    if kind ~= 'none' and kind ~= wanted then foreign[#foreign + 1] = base .. ':' .. name .. ' is a ' .. kind end
  end
end
return {missing, foreign}
