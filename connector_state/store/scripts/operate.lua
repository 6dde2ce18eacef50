-- Read and write values of one connector: all of a request's operations, or none of its writes.
--
-- ARGV  7 most keys   8 most bytes (0: any)   9 audit entries kept   10 oldest audit id kept
--       then six for each operation (each names another member):
--       'get' | 'put' | 'delete' | 'expire', member, value, ttl ms ('' for none, 'keep' for what
--       a put finds there), if_match, if_none_match
-- The two conditions are '', '*' or ETags separated by commas.
--
-- Returns {'ok', one result an operation}: get {value, etag, ttl ms (-1: none)} or {} when
-- missing, put {etag}, delete and expire {1 or 0: whether it existed};
-- or {'replay'}, {'limited', wait ms}, {'condition', number of the operation, etag or ''},
-- {'quota', 'keys' or 'bytes', limit}, {'again'}: the same call goes on with the sweep.

local SWEPT_PER_WRITE = 4
local SWEPT_FOR_ROOM, SWEEPS_FOR_ROOM = 100, 20 -- some 20 ms, in which nobody else is served
local TRIMMED_EVERY = 16 -- writes, on average

local max_keys, max_bytes = tonumber(ARGV[7]), tonumber(ARGV[8])
local audit_length, audit_oldest = ARGV[9], ARGV[10]

local function names(list, etag)
  if not etag then return false end
  return list == '*' or string.find(',' .. list .. ',', ',' .. etag .. ',', 1, true) ~= nil
end

-- Returns nil when the operation's conditions hold, else the ETag that stands there ('' for none).
local function broken_condition(operation)
  if operation.if_match == '' and operation.if_none_match == '' then return nil end
  local value = redis.call('GET', value_prefix .. operation.member)
  local etag = value and redis.sha1hex(value)
  if (operation.if_match ~= '' and not names(operation.if_match, etag))
    or (operation.if_none_match ~= '' and names(operation.if_none_match, etag)) then
    return etag or ''
  end
  return nil
end

-- Returns nil when the writes fit, else 'keys' or 'bytes'. Only growth can be refused. Notes the
-- indexed size of each as write.old.
local function exceeded(writes)
  local keys, bytes, total = 0, 0, 0
  for _, write in ipairs(writes) do
    local found = redis.call('HMGET', sizes, write.member, 'total')
    write.old, total = found[1], found[2] or 0
    if write.kind == 'put' then
      keys = keys + (write.old and 0 or 1)
      bytes = bytes + #write.value - (write.old or 0)
    elseif write.kind == 'delete' and write.old then
      keys = keys - 1
      bytes = bytes - write.old
    end
  end
  if max_keys > 0 and keys > 0 and redis.call('ZCARD', index) + keys > max_keys then return 'keys' end
  if max_bytes > 0 and bytes > 0 and total + bytes > max_bytes then return 'bytes' end
  return nil
end

-- As above, when what expired has been swept; 'unswept' when there may be more of it than one call
-- should take.
local function exceeded_after_sweep(writes)
  local what = exceeded(writes)
  for _ = 1, SWEEPS_FOR_ROOM do
    if not what then return nil end
    local swept = sweep(SWEPT_FOR_ROOM)
    if swept > 0 then what = exceeded(writes) end
    if swept < SWEPT_FOR_ROOM then return what end
  end
  return what and 'unswept'
end

local function record(kind, member, size, etag)
  redis.call('XADD', audit, 'MAXLEN', '~', audit_length, '*',
    'op', kind, 'by', caller, 'member', member, 'size', size, 'etag', etag)
end

local function expiry_of(write, key)
  local ttl = write.ttl
  if ttl == 'keep' then ttl = math.max(redis.call('PTTL', key), -1) end
  return ttl ~= '' and ttl ~= -1 and now_ms + tonumber(ttl)
end

local function put(write)
  local key, etag = value_prefix .. write.member, redis.sha1hex(write.value)
  local expires_ms = expiry_of(write, key)
  note(write.member, write.old, #write.value, expires_ms)
  if expires_ms then
    redis.call('SET', key, write.value, 'PXAT', string.format('%.0f', expires_ms))
  else
    redis.call('SET', key, write.value)
  end
  record('put', write.member, #write.value, etag)
  return {etag}
end

local function delete(write)
  local existed = redis.call('DEL', value_prefix .. write.member)
  forget(write.member)
  if existed == 1 then record('delete', write.member, 0, '') end
  return {existed}
end

local function expire(write)
  local key = value_prefix .. write.member
  local size = redis.call('STRLEN', key) -- an error for what is no string
  if redis.call('EXISTS', key) == 0 then return {0} end
  local expires_ms = expiry_of(write, key)
  note(write.member, write.old, size, expires_ms)
  if expires_ms then
    redis.call('PEXPIREAT', key, string.format('%.0f', expires_ms))
  else
    redis.call('PERSIST', key)
  end
  record('expire', write.member, size, '')
  return {1}
end

local WRITE = {put = put, delete = delete, expire = expire}

local function get(member)
  local value = redis.call('GET', value_prefix .. member)
  if not value then return {} end
  return {value, redis.sha1hex(value), redis.call('PTTL', value_prefix .. member)}
end

local refusal, remembered = admit()
if refusal then return refusal end

local operations, writes = {}, {}
for at = 11, #ARGV, 6 do
  local operation = {
    kind = ARGV[at], member = ARGV[at + 1], value = ARGV[at + 2],
    ttl = ARGV[at + 3], if_match = ARGV[at + 4], if_none_match = ARGV[at + 5],
    number = #operations + 1,
  }
  operations[operation.number] = operation
  if operation.kind ~= 'get' then writes[#writes + 1] = operation end
end

-- Reads come first: one that fails does so before anything was written.
local reply = {'ok'}
for number, operation in ipairs(operations) do
  if operation.kind == 'get' then reply[number + 1] = get(operation.member) end
end
if #writes == 0 then return reply end

local outcomes = remembered
if not outcomes then
  for _, write in ipairs(writes) do
    local etag = broken_condition(write)
    if etag then return {'condition', write.number, etag} end
  end
  local what = exceeded_after_sweep(writes)
  if what == 'unswept' then return {'again'} end
  if what then return {'quota', what, what == 'keys' and max_keys or max_bytes} end
  outcomes = {}
  for number, write in ipairs(writes) do
    outcomes[number] = WRITE[write.kind](write)
  end
  remember(outcomes)
  sweep(SWEPT_PER_WRITE)
  -- Readers leave out what is too old; now and then it is taken away.
  if now_ms % TRIMMED_EVERY == 0 then redis.call('XTRIM', audit, 'MINID', '~', audit_oldest) end
end
for number, write in ipairs(writes) do reply[write.number + 1] = outcomes[number] end
return reply
