-- The versions of one key that were replaced or deleted, newest first, each value once.
--
-- KEYS  10 the key of the value
-- ARGV  5 member   6 an ETag ('': all versions, without their values)   7, 8 of thin.lua
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

local log = thin(call('HGET', history, member) or '', member, tonumber(ARGV[7]), tonumber(ARGV[8]))
local deleted = string.match(log, '^(%d+) ' .. string.rep('%-', 40)) or ''
local reply = wanted == '' and {'ok', deleted} or {'ok'}
local first = true -- which is of the value that is stored now
for line, at, _, _, expires in string.gmatch(log, LINE) do
  local version = not first and call('HGET', history, '\0' .. at .. member)
  first = false
  if version then
    -- By the bytes, not by the line: another program may have written them.
    local etag = redis.sha1hex(version)
    if not seen[etag] then
      seen[etag] = true
      if etag == wanted then return {'ok', version} end
      if wanted == '' then
        local by = string.match(line, '^%d+ %S+ %d+ %d+ (.*)\n')
        for _, item in ipairs({tonumber(at), etag, #version, tonumber(expires), by}) do
          reply[#reply + 1] = item
        end
      end
    end
  end
end
return reply
