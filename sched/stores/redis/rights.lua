-- Return what would abort a script of this store: commands that its user may not run, and keys of another program.
--
-- An aborted script does not undo what it has written, so this runs before the first script that writes.
--
-- KEYS[1]  the store's base
-- ARGV     the channels that are used
--
-- Result: {{'COMMAND on which', ...}, {'KEY is a TYPE', ...}}; both empty if all is well
--
-- It runs on every layout, because a migration needs these rights too.

redis.call('TIME') -- not every script asks for the time: where that is forbidden, this one says so
local missing, foreign = {}, {}

-- Every command of the scripts, by the keys that it is used on; NAME stands for the name of a resource or a job.
local uses = {
  {':layout', 'GET SET TYPE'},
  {':fence', 'HGET HSET EXISTS TYPE'},
  {':fences', 'GET SET EXISTS RENAME TYPE'},
  {':lock:NAME', 'GET SET PEXPIRE DEL EXISTS RENAME'},
  {':lease:NAME', 'HGET HMGET HSET DEL RENAME'},
  {':leases', 'ZADD ZREM ZRANGEBYLEX TYPE'},
  {':record:NAME', 'HGET HMGET HEXISTS HSET HDEL EXISTS DEL'},
  {':jobs', 'ZADD ZREM ZRANGE ZRANGEBYLEX EXISTS RENAME TYPE'},
  {':ledgers', 'ZADD ZREM ZRANGE ZRANGEBYLEX EXISTS RENAME TYPE'},
  {':dues:NAME', 'ZADD ZREM ZCARD ZRANGE ZREVRANGE ZREVRANGEBYLEX EXISTS DEL'},
  {':runs:NAME', 'HGET HLEN HSET HDEL EXISTS DEL'},
  {':runs', 'ZADD ZREM ZREVRANGEBYLEX UNLINK TYPE'},
  {':open', 'ZADD ZREM ZRANGE ZRANGEBYLEX UNLINK TYPE'},
  {':instances', 'HGETALL HEXISTS HSET HDEL TYPE'},
  {':jobsets', 'HGET HKEYS HEXISTS HSET HDEL TYPE'},
  {':control', 'HGET HMGET HSET TYPE'},
  {':acts', 'ZADD ZCARD ZREMRANGEBYLEX ZREVRANGEBYLEX TYPE'},
  {':1:jobs', 'ZRANGE ZREM EXISTS RENAME'},
  {':1:ledgers', 'ZRANGE ZREM EXISTS RENAME'},
  {':job:NAME', 'HMGET EXISTS DEL'},
  {':due:NAME', 'ZRANGE ZREM EXISTS'},
  {':run:NAME', 'HGET HDEL DEL'},
}

local function need(command, what)
  if not redis.acl_check_cmd(command, what) then missing[#missing + 1] = command .. ' on ' .. what end
end

if redis.acl_check_cmd then -- since Redis 7, the first version in which a user has no channels by default
  for _, use in ipairs(uses) do
    for command in string.gmatch(use[2], '%u+') do need(command, base .. use[1]) end
  end
  for _, channel in ipairs(ARGV) do
    need('PUBLISH', channel)
    need('SUBSCRIBE', channel)
  end
end

if #missing == 0 then
  local kinds = {layout = 'string', fence = 'hash', leases = 'zset', jobs = 'zset', ledgers = 'zset', runs = 'zset',
    open = 'zset', instances = 'hash', jobsets = 'hash', control = 'hash', acts = 'zset'}
  kinds.fences = (layout_found() or '1') == '1' and 'hash' or 'string'
  for name, wanted in pairs(kinds) do
    local kind = redis.call('TYPE', base .. ':' .. name)['ok']
    if kind ~= 'none' and kind ~= wanted then foreign[#foreign + 1] = base .. ':' .. name .. ' is a ' .. kind end
  end
end
return {missing, foreign}
