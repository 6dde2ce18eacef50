-- A page of a connector's namespaces with their numbers of keys, in byte order.
--
-- ARGV  5 namespace after which the page begins ('' for the first)   6 limit
--
-- Returns {'ok', more (1 or 0), then for each namespace: name, keys}, or {'again', member, …}. It jumps from one to the
-- next in the index, so the page costs what it holds. A namespace holds no ':' and sorts by
-- name .. ':'; ';' is the byte after ':'.

local SWEPT = 1000

local again = is_new and again_without_expired(SWEPT)
if again then return again end

local from = ARGV[5] ~= '' and '[' .. ARGV[5] .. ';' or '-'
local limit = tonumber(ARGV[6])
local reply = {'ok', 0}

while true do
  local member = call('ZRANGEBYLEX', index, from, '+', 'LIMIT', 0, 1)[1]
  if not member then break end
  if #reply - 2 == 2 * limit then
    reply[2] = 1
    break
  end
  local namespace = string.match(member, '^[^:]*')
  reply[#reply + 1] = namespace
  reply[#reply + 1] = call('ZLEXCOUNT', index, '[' .. namespace .. ':', '(' .. namespace .. ';')
  from = '[' .. namespace .. ';'
end
return reply
