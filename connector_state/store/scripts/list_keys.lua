-- A page of one namespace's keys, in byte order.
--
-- ARGV  7 'namespace:prefix'   8 member after which the page begins, which is not before the
--       prefix ('' for the first page)   9 limit
--
-- Returns {'ok', more (1 or 0), the last member looked at ('' for none), then for each key:
-- member, size, etag, ttl ms (-1: none)}.
-- What is listed is what stands there: members without a value are taken out of the index, and a
-- page that met many of them may be short although more is 1.

local STALE_AT_MOST = 1000
local BYTES_AT_MOST = 1048576 -- to hash in one call; the page ends early then

local refusal = admit()
if refusal then return refusal end

local start, after, limit = ARGV[7], ARGV[8], tonumber(ARGV[9])
local from = after ~= '' and '(' .. after or '[' .. start
local to = '[' .. start .. '\255' -- no UTF-8 text holds this byte
local reply, listed, stale, bytes = {'ok', 0, ''}, 0, 0, 0

repeat
  local members = redis.call('ZRANGEBYLEX', index, from, to, 'LIMIT', 0, limit - listed + 1)
  for _, member in ipairs(members) do
    if listed == limit or stale == STALE_AT_MOST or bytes >= BYTES_AT_MOST then
      reply[2] = 1
      break
    end
    local key = value_prefix .. member
    local value = redis.pcall('GET', key)
    if type(value) == 'string' then
      listed, bytes = listed + 1, bytes + #value
      reply[#reply + 1] = member
      reply[#reply + 1] = #value
      reply[#reply + 1] = redis.sha1hex(value)
      reply[#reply + 1] = redis.call('PTTL', key)
    else
      -- expired, deleted from outside, or (an error) no string, which is no value of ours
      stale = stale + 1
      forget(member)
    end
    reply[3] = member
    from = '(' .. member
  end
until #members == 0 or reply[2] == 1
return reply
