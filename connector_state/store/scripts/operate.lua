-- Read and write values of one connector: all of a request's operations, or none of its writes.
--
-- KEYS  10 … the key of each operation's value
-- ARGV  5 most keys   6 most bytes (0: any)   7 audit entries kept   8 oldest audit id kept
--       9 to 11 of remember.lua   12 the caller's address, for the audit
--       then seven for each operation, which names another member than the others:
--       'get' | 'put' | 'delete' | 'erase' (a delete that forgets the history too) | 'expire',
--       member, value of a put, its ETag,
--       ttl ms ('' for none, 'keep' for what a put finds there), if_match, if_none_match
-- The two conditions are '', '*' or ETags separated by commas.
--
-- Returns {'ok', one result an operation}: get {value, ttl ms (-1: none)} or {} when missing,
-- put, delete and expire whether a value is or was there, '1' or '0';
-- or {'replay'}, {'revoked'}, {'limited', wait ms}, {'condition', number of the operation, etag or
-- ''}, {'quota', 'keys' or 'bytes', limit}, {'again', members whose values have expired}.

local SWEPT = 1000 -- some 10 ms, in which nobody else is served
local SWEPT_EVERY = 16 -- writes, on average: a sweep takes two more round trips
local TRIMMED_EVERY = 16 -- writes, on average
-- Where an operation's arguments are, beside 7 * its number.
local KIND, MEMBER, VALUE, ETAG, TTL, IF_MATCH, IF_NONE_MATCH = 6, 7, 8, 9, 10, 11, 12

local count = #KEYS - 9
local reply, writes = {'ok'}, {}

-- Run a command that replaces a value; return the value, or false where there was none.
local function replace(command, key, ...)
  local old = redis.pcall(command, key, ...)
  if type(old) ~= 'table' then return old end
  -- What is no string is nothing of ours, and goes. Any other error is raised by the second try.
  if string.find(old.err, 'WRONGTYPE', 1, true) then call('DEL', key) end
  return call(command, key, ...)
end

-- Reads come first: one that fails does so before anything was written.
for number = 1, count do
  if ARGV[7 * number + KIND] == 'get' then
    local value = call('GET', KEYS[9 + number])
    reply[1 + number] = value and {value, call('PTTL', KEYS[9 + number])} or {}
  else
    writes[#writes + 1] = number
  end
end

if not done then
  -- Nothing has been written yet, so the same call can be made again.
  local again = is_new and now_ms % SWEPT_EVERY == 0 and again_without_expired(SWEPT)
  if again then return again end

  for _, number in ipairs(writes) do
    local if_match, if_none_match = ARGV[7 * number + IF_MATCH], ARGV[7 * number + IF_NONE_MATCH]
    if if_match ~= '' or if_none_match ~= '' then
      local value = call('GET', KEYS[9 + number])
      local etag = value and redis.sha1hex(value) or ''
      local function is_named_by(list)
        if etag == '' then return false end
        return list == '*' or string.find(',' .. list .. ',', ',' .. etag .. ',', 1, true)
      end
      if if_match ~= '' and not is_named_by(if_match) or is_named_by(if_none_match) then
        return {'condition', number, etag}
      end
    end
  end

  -- Only growth can be refused, and only when what expired has been swept.
  local max_keys, max_bytes = tonumber(ARGV[5]), tonumber(ARGV[6])
  local old_sizes, keys, bytes, total = {}, 0, 0, 0
  for _, number in ipairs(writes) do
    local found = call('HMGET', sizes, ARGV[7 * number + MEMBER], 'total')
    local kind, old = ARGV[7 * number + KIND], found[1]
    old_sizes[number], total = old, found[2] or 0
    if kind == 'put' then
      keys = keys + (old and 0 or 1)
      bytes = bytes + #ARGV[7 * number + VALUE] - (old or 0)
    elseif kind ~= 'expire' and old then
      keys = keys - 1
      bytes = bytes - old
    end
  end
  if max_keys > 0 and keys > 0 and call('ZCARD', index) + keys > max_keys then
    return again_without_expired(SWEPT) or {'quota', 'keys', max_keys}
  elseif max_bytes > 0 and bytes > 0 and total + bytes > max_bytes then
    return again_without_expired(SWEPT) or {'quota', 'bytes', max_bytes}
  end

  done = ''
  for _, number in ipairs(writes) do
    local key, member, value = KEYS[9 + number], ARGV[7 * number + MEMBER], ARGV[7 * number + VALUE]
    local kind, ttl = ARGV[7 * number + KIND], ARGV[7 * number + TTL]
    if ttl == 'keep' then ttl = math.max(call('PTTL', key), -1) end
    local expires_ms = ttl ~= '' and ttl ~= -1 and string.format('%.0f', now_ms + ttl)
    local existed, size, etag = 1, #value, ARGV[7 * number + ETAG]
    if kind == 'delete' or kind == 'erase' then
      existed = call('EXISTS', key)
      local old = replace('GETDEL', key)
      -- The audit has those of what is gone; nothing, where that was no value.
      size, etag = old and #old or 0, old and redis.sha1hex(old) or ''
      if kind == 'erase' then
        drop_history(member)
      elseif old then
        remember(member, old, DELETED, 0)
      end
      forget(member)
    elseif kind == 'expire' then
      size, etag = call('STRLEN', key), '' -- an error for what is no string
      existed = expires_ms and call('PEXPIREAT', key, expires_ms) or call('EXISTS', key)
      if not expires_ms then call('PERSIST', key) end
      if existed == 1 then remember_expiry(member, expires_ms) end
    else
      local old = replace('SET', key, value, 'GET', unpack(expires_ms and {'PXAT', expires_ms} or {}))
      if old == value then
        remember_expiry(member, expires_ms)
      else
        remember(member, old, etag, size, expires_ms)
      end
    end
    if existed == 1 or kind == 'erase' then
      if kind == 'put' or kind == 'expire' then note(member, old_sizes[number], size, expires_ms) end
      call('XADD', audit, 'MAXLEN', '~', ARGV[7], '*',
        'op', kind, 'by', caller, 'member', member,
        'size', size, 'etag', etag, 'address', ARGV[12])
    end
    done = done .. existed
  end
  call('APPEND', KEYS[1], done) -- for a retry of this very request
  -- Readers leave out what is too old; now and then it is taken away.
  if now_ms % TRIMMED_EVERY == 0 then call('XTRIM', audit, 'MINID', '~', ARGV[8]) end
end

for at, number in ipairs(writes) do reply[1 + number] = string.sub(done, at, at) end
return reply
