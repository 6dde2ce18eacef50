-- The first namespaces of a connector, in byte order. It writes nothing.
--
-- KEYS  1 index        ARGV  1 how many at most
--
-- A namespace holds no ':' and sorts by name .. ':'; ';' is the byte after ':'.

local from, names = '-', {}
while #names < tonumber(ARGV[1]) do
  local member = redis.call('ZRANGEBYLEX', KEYS[1], from, '+', 'LIMIT', 0, 1)[1]
  if not member then break end
  names[#names + 1] = string.match(member, '^[^:]*')
  from = '[' .. names[#names] .. ';'
end
return names
