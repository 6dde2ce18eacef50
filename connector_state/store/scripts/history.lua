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

local history = KEYS[9]
local BYTES, DELETED, DAY_MS = '\0bytes', string.rep('-', 40), 86400000

local function line_of(at, etag, size, expires_ms, by)
  return string.format('%013.0f %s %.0f %s %s\n', at, etag, size, expires_ms or '0', by)
end

local function at_of(line) return tonumber(string.sub(line, 1, 13)) end
local function etag_of(line) return string.sub(line, 15, 54) end
local function size_of(line) return tonumber(string.match(line, '^%d+', 56)) end
local function expires_of(line) return tonumber(string.match(line, '^%d+ (%d+)', 56)) end
local function field_of(line, member) return '\0' .. string.sub(line, 1, 13) .. member end

-- Forget all versions of a member.
local function drop_history(member)
  local log = call('HGET', history, member)
  if not log then return end
  local fields, bytes = {member}, 0
  for line in string.gmatch(log, '\n([^\n]+)') do
    fields[#fields + 1] = field_of(line, member)
    bytes = bytes + size_of(line)
  end
  call('HDEL', history, unpack(fields))
  if bytes > 0 then call('HINCRBY', history, BYTES, -bytes) end
end
