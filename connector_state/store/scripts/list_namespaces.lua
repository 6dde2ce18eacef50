-- A page of a connector's namespaces with their numbers of keys, in byte order.
--
-- ARGV  7 namespace after which the page begins ('' for the first)   8 limit
--
-- Returns {'ok', more (1 or 0), then for each namespace: name, keys}. It jumps from one to the
-- next in the index, so the page costs what it holds. A namespace holds no ':' and sorts by
-- name .. ':'; ';' is the byte after ':'.

local SWEPT = 1000

local refusal = admit()
if refusal then return refusal end
sweep(SWEPT)

local from = ARGV[7] ~= '' and '[' .. ARGV[7] .. ';' or '-'
local limit = tonumber(ARGV[8])
local reply = {'ok', 0}

while true do
  local member = redis.call('ZRANGEBYLEX', index, from, '+', 'LIMIT', 0, 1)[1]
  if not member then break end
  if #reply - 2 == 2 * limit then
    reply[2] = 1
    break
  end
  local namespace = string.match(member, '^[^:]*')
  reply[#reply + 1] = namespace
  reply[#reply + 1] = redis.call('ZLEXCOUNT', index, '[' .. namespace .. ':', '(' .. namespace .. ';')
  from = '[' .. namespace .. ';'
end
return reply
