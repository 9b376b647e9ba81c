-- RQ's own keys: queues and their lengths, workers with the host they run on and their last sign of life.
local function fields(key, names)
  local values, found = redis.call('HMGET', key, unpack(names)), {}
  for i, name in ipairs(names) do found[name] = values[i] or '' end
  return found
end
local queues, workers = {}, {}
for _, key in ipairs(redis.call('SMEMBERS', 'rq:queues')) do
  local name = string.sub(key, 10)
  queues[name] = {
    queued = redis.call('LLEN', key),
    failed = redis.call('ZCARD', 'rq:failed:' .. name),
    started = redis.call('ZCARD', 'rq:wip:' .. name),
  }
end
for _, key in ipairs(redis.call('SMEMBERS', 'rq:workers')) do
  if redis.call('EXISTS', key) == 1 then
    table.insert(workers, fields(key, { 'hostname', 'queues', 'last_heartbeat', 'state' }))
  end
end
return cjson.encode({
  info = redis.call('INFO'),
  queues = queues, workers = workers, now = redis.call('TIME')[1], mark = redis.call('GET', 'cvatd:initialised') or '',
})
