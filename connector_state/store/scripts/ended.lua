-- What stays of the history of a value that is gone: it was deleted, or ended with its TTL.

local SAMPLE = 16
local DELETED_KEY_BYTES = 512 -- what it costs to remember that a key was deleted, about

-- Forget other deleted keys, of a sample, where so many are remembered that they fill the memory: they
-- count in no quota, and their versions may be empty.
local function limit_deleted(member, most_bytes)
  if call('HLEN', history) <= call('ZCARD', index) + most_bytes / DELETED_KEY_BYTES then return end
  for _, field in ipairs(call('HRANDFIELD', history, SAMPLE)) do
    local log = field ~= member and string.sub(field, 1, 1) ~= '\0' and call('HGET', history, field)
    if log and string.sub(log, 15, 54) == DELETED then drop_history(field) end
  end
end

-- Note that a value ended with its TTL, at `ends` (ms since the epoch), as if it had been deleted then.
-- Of its versions those go that have ended too. Returns whether any stay.
local function end_history(member, ends)
  local log = call('HGET', history, member)
  if not log then return false end
  local kept, dropped, bytes = {}, {}, 0
  for line, at, etag, size, expires in string.gmatch(log, LINE) do
    if #kept == 0 and etag == DELETED then return true end
    if #kept == 0 then -- the line of the value itself, which has no bytes here
      at = math.max(math.min(ends, now_ms), at + 1)
      kept[1] = string.format('%013.0f %s 0 0 its TTL\n', at, DELETED)
    elseif expires == '0' or tonumber(expires) > now_ms then
      kept[#kept + 1] = line
    else
      dropped[#dropped + 1], bytes = '\0' .. at .. member, bytes + size
    end
  end
  if #kept == 1 then
    drop_history(member)
    return false
  end
  call('HSET', history, member, table.concat(kept))
  if #dropped > 0 then call('HDEL', history, unpack(dropped)) end
  if bytes > 0 then call('HINCRBY', history, BYTES, -bytes) end
  return true
end
