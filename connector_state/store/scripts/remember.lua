-- Keep the values that writes replace.
--
-- ARGV  9 versions kept of a key   10 days of which the last version is kept   11 most bytes of all
--       versions (ARGV 9 and 10 both 0: keep nothing)

local keep_versions, keep_days, most_bytes = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local EVICTED_AT_MOST = 20
-- Versions that are not kept any more are removed now and then: each time would double the cost.
local THINNED_EVERY, LOG_MAX_BYTES = 8, 4096

-- Make room for a version by giving up the oldest ones of a sample, as Redis evicts keys itself.
-- Returns whether there is room.
local function make_room(size)
  for _ = 1, size <= most_bytes and EVICTED_AT_MOST or 0 do
    if tonumber(call('HGET', history, BYTES) or 0) + size <= most_bytes then return true end
    local oldest
    for _, field in ipairs(call('HRANDFIELD', history, SAMPLE)) do
      if string.match(field, '^%z%d') and (not oldest or field < oldest) then oldest = field end
    end
    if oldest then
      local member, at = string.sub(oldest, 15), string.sub(oldest, 2, 14)
      local before, after = string.match(
        call('HGET', history, member), '^(.*\n)' .. at .. ' [^\n]*\n(.*)$')
      call('HINCRBY', history, BYTES, -call('HSTRLEN', history, oldest))
      call('HDEL', history, oldest)
      call('HSET', history, member, before .. after)
    end
  end
  return false
end

-- Note a write, and keep the value that it replaces: `old`, or false where there was none.
-- `etag` is of the new value, or DELETED.
local function remember(member, old, etag, size, expires_ms)
  if keep_versions + keep_days == 0 then return drop_history(member) end
  local found = call('HMGET', history, member, BYTES)
  local log, has_room = found[1], true
  if old and (found[2] or 0) + #old > most_bytes then
    has_room = make_room(#old)
    log = call('HGET', history, member)
  end
  local head, head_at, head_etag, head_size, ends, rest = string.match(
    log or '', '^' .. LINE .. '(.*)$')
  local has_ended = head and not old and head_etag ~= DELETED and ends ~= '0' -- with its TTL
  local at = math.max(now_ms, head and head_at + 1 or 0)
  local bytes, set = 0, {}
  if old and has_room then
    if not head or head_etag == DELETED or tonumber(head_size) ~= #old then
      -- Another program wrote it, or it was written before there was a history.
      head_at = string.format('%013.0f', head and at - 1 or 0)
      head = string.format('%s %s %d 0 ?\n', head_at, redis.sha1hex(old), #old)
    end
    rest, bytes, set = head .. (rest or ''), #old, {'\0' .. head_at .. member, old}
  end
  log = string.format('%013.0f %s %d %s %s\n%s',
    at, etag, size, expires_ms or '0', string.gsub(caller, '%c', '?'), rest or '')
  local dropped = {}
  if has_ended or now_ms % THINNED_EVERY == 0 or #log > LOG_MAX_BYTES then
    local freed
    log, dropped, freed = thin(log, member, keep_versions, keep_days)
    bytes = bytes - freed
  end
  if etag == DELETED then limit_deleted(member, most_bytes) end
  call('HSET', history, member, log, unpack(set))
  if #dropped > 0 then call('HDEL', history, unpack(dropped)) end -- `set` may be one of them
  if bytes ~= 0 then call('HINCRBY', history, BYTES, bytes) end
end

-- Note when the value of a member ends (ms since the epoch, as text, or false for never).
local function remember_expiry(member, expires_ms)
  local log = call('HGET', history, member)
  if not log then return end
  local start, old, rest = string.match(log, '^(%d+ %S+ %d+ )(%d+)(.*)$')
  local new = expires_ms or '0'
  if old ~= new then call('HSET', history, member, start .. new .. rest) end
end
