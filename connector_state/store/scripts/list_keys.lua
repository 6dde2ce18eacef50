-- The members of one namespace in byte order, whether their values still stand there or not.
--
-- ARGV  5 'namespace:prefix'   6 member after which they begin, which is not before the prefix
--       ('' for the first)   7 limit
--
-- Returns {'ok', member, …}.

local from = ARGV[6] ~= '' and '(' .. ARGV[6] or '[' .. ARGV[5]
local to = '[' .. ARGV[5] .. '\255' -- no UTF-8 text holds this byte
local members = call('ZRANGEBYLEX', index, from, to, 'LIMIT', 0, ARGV[7])
table.insert(members, 1, 'ok')
return members
