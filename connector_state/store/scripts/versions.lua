-- The versions of one key that were replaced or deleted, newest first, each value once.
--
-- KEYS  10 the key of the value
-- ARGV  5 member   6 an ETag ('': all versions, without their values)
--
-- Returns {'ok', when it was deleted (ms, or '' if it was not), then for each version its time of
-- writing (ms; 0 if unknown), ETag, size, end (ms; 0: never), who wrote it ('?' if unknown)},
-- or, for an ETag, {'ok'} or {'ok', the value that has it, now or before}.

local member, wanted = ARGV[5], ARGV[6]
local value = redis.pcall('GET', KEYS[10])
local seen = {}
if type(value) == 'string' then
  local etag = redis.sha1hex(value)
  if etag == wanted then return {'ok', value} end
  seen[etag] = true
end

local log = call('HGET', history, member) or ''
local deleted = string.match(log, '^(%d+) ' .. string.rep('%-', 40)) or ''
local reply = wanted == '' and {'ok', deleted} or {'ok'}
for line in string.gmatch(log, '\n([^\n]+)') do
  local version = call('HGET', history, field_of(line, member))
  -- By the bytes, not by the line: another program may have written them.
  local etag, expires = redis.sha1hex(version), expires_of(line)
  if not seen[etag] and (expires == 0 or expires > now_ms) then
    seen[etag] = true
    if etag == wanted then return {'ok', version} end
    if wanted == '' then
      for _, item in ipairs({at_of(line), etag, #version, expires,
        string.match(line, '^%d+ %S+ %d+ %d+ (.*)$')}) do
        reply[#reply + 1] = item
      end
    end
  end
end
return reply
