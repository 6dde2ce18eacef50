-- What scripts that touch the index go on with.
--
-- KEYS  5 index   6 sizes   7 expiries   8 audit   (9 history: history.lua, which stands before this)

local index, sizes, expiries, audit = KEYS[5], KEYS[6], KEYS[7], KEYS[8]

-- Take a member out of the index. Returns 1 if it was in it, else 0.
local function forget(member)
  local size = call('HGET', sizes, member)
  if size then
    call('HDEL', sizes, member)
    call('HINCRBY', sizes, 'total', -size)
  end
  if any_marks_or_expiries then call('ZREM', expiries, member) end
  return call('ZREM', index, member)
end

-- Bring the index to a member's size and expiry (ms since the epoch, as text, or false for none).
-- `old` is the size that the index has, or false. Returns 1 if the member is new to it, else 0.
local function note(member, old, size, expires_ms)
  if not old then call('ZADD', index, 0, member) end
  if tonumber(old) ~= size then
    call('HSET', sizes, member, size)
    call('HINCRBY', sizes, 'total', size - (old or 0))
  end
  if expires_ms then
    call('ZADD', expiries, expires_ms, member)
  elseif any_marks_or_expiries then
    call('ZREM', expiries, member)
  end
  return old and 0 or 1
end

-- Return {'again', member, …} of values that expired by the index, `most` at once, or nil if there are
-- none. The caller runs reindex.lua on them, which declares the values' keys. There, looking at a value
-- that has expired deletes it: else a clock that steps back would bring it back without its index.
-- Only what was due before this millisecond, in which the value may still be read.
local function again_without_expired(most)
  if not any_marks_or_expiries then return end
  local before_now = string.format('(%.0f', now_ms)
  local reply = call('ZRANGEBYSCORE', expiries, '-inf', before_now, 'LIMIT', 0, most)
  if #reply == 0 then return end
  table.insert(reply, 1, 'again')
  return reply
end
