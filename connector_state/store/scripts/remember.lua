-- Keep the values that writes replace.
--
-- ARGV  9 versions kept of a key   10 days of which the last version is kept   11 most bytes of all
--       versions (ARGV 9 and 10 both 0: keep nothing)

local keep_versions, keep_days, most_bytes = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local EVICTED_AT_MOST, SAMPLE = 20, 16

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
      local before, line, after = string.match(
        call('HGET', history, member), '^(.*\n)(' .. at .. ' [^\n]*\n)(.*)$')
      call('HDEL', history, oldest)
      call('HSET', history, member, before .. after)
      call('HINCRBY', history, BYTES, -size_of(line))
    end
  end
  return false
end

-- Return those lines of a log that are still to be kept below its first line, and the fields and
-- bytes of the others. Kept are the newest versions that differ; and of each day the value that it
-- ended with: one whose successor was written on a later day.
local function thin(first, log, member)
  local kept, dropped, bytes, count = {first}, {}, 0, 0
  local seen, newer_day = {[etag_of(first)] = true}, math.floor(at_of(first) / DAY_MS)
  local oldest_day = newer_day - keep_days
  for line in string.gmatch(log, '[^\n]*\n') do
    local day, etag, expires = math.floor(at_of(line) / DAY_MS), etag_of(line), expires_of(line)
    local is_recent = count < keep_versions and not seen[etag]
    local ended_a_day = newer_day > day and newer_day > oldest_day
    if (is_recent or ended_a_day) and (expires == 0 or expires > now_ms) then
      kept[#kept + 1], newer_day = line, day
      if not seen[etag] then count, seen[etag] = count + 1, true end
    else
      dropped[#dropped + 1], bytes = field_of(line, member), bytes + size_of(line)
    end
  end
  return table.concat(kept), dropped, bytes
end

-- Note a write, and keep the value that it replaces: `old`, or false where there was none.
-- `etag` is of the new value, or DELETED; `indexed` the size of `old` by the index, or false.
local function remember(member, old, indexed, etag, size, expires_ms)
  if keep_versions + keep_days == 0 then return drop_history(member) end
  local found = call('HMGET', history, member, BYTES)
  local log, has_room = found[1], true
  if old and (found[2] or 0) + #old > most_bytes then
    has_room = make_room(#old)
    log = call('HGET', history, member)
  end
  local head, rest = string.match(log or '', '^([^\n]*\n)(.*)$')
  if head and not old and etag_of(head) ~= DELETED and expires_of(head) > 0 then
    drop_history(member) -- it expired, and its versions with it
    head, rest = nil, nil
  end
  local at = math.max(now_ms, head and at_of(head) + 1 or 0)
  local bytes, set = 0, {}
  if old and has_room then
    if not head or etag_of(head) == DELETED or tonumber(indexed) ~= #old then
      -- Another program wrote it, or it was written before there was a history.
      head = line_of(head and at - 1 or 0, redis.sha1hex(old), #old, false, '?')
    end
    rest, bytes = head .. (rest or ''), #old
    set = {field_of(head, member), old}
  end
  local first = line_of(at, etag, size, expires_ms, string.gsub(caller, '%c', '?'))
  local kept, dropped, freed = thin(first, rest or '', member)
  call('HSET', history, member, kept, unpack(set))
  if #dropped > 0 then call('HDEL', history, unpack(dropped)) end
  if bytes ~= freed then call('HINCRBY', history, BYTES, bytes - freed) end
end

-- Note when the value of a member ends (ms since the epoch, as text, or false for never).
local function remember_expiry(member, expires_ms)
  local log = call('HGET', history, member)
  if not log then return end
  local start, old, rest = string.match(log, '^(%d+ %S+ %d+ )(%d+)(.*)$')
  local new = expires_ms or '0'
  if old ~= new then call('HSET', history, member, start .. new .. rest) end
end
