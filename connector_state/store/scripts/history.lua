-- The history of a connector's values: what each write replaced.
--
-- KEYS  9 history, a hash:
--   member               its log, newest first: one line for the value that is stored now (or for its
--                        deletion), then one for each version that is kept
--   '\0' at member       the bytes of a version
--   '\0bytes'            the bytes of all versions
--
-- A line is 'at etag size expires by': milliseconds since the epoch, in 13 digits, unique for the
-- member; the ETag, or DELETED; bytes; when the value ends, in ms since the epoch (0: never); a caller.

local history, BYTES, DELETED, DAY_MS = KEYS[9], '\0bytes', string.rep('-', 40), 86400000
local LINE = '((%d+) (%S+) (%d+) (%d+) [^\n]*\n)' -- the line, at, etag, size, expires

-- Forget all versions of a member.
local function drop_history(member)
  local log = call('HGET', history, member)
  if not log then return end
  local fields, bytes = {member}, 0
  for _, at, _, size in string.gmatch(log, LINE) do
    fields[#fields + 1] = '\0' .. at .. member
    if #fields > 2 then bytes = bytes + size end -- the first is of the value that is stored now
  end
  call('HDEL', history, unpack(fields))
  if bytes > 0 then call('HINCRBY', history, BYTES, -bytes) end
end
