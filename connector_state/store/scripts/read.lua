-- Read values of one connector.
--
-- KEYS  5 … keys of values
--
-- Returns {'ok', for each key {value, ttl ms (-1: none)} or {} when missing}.

local reply = {'ok'}
for at = 5, #KEYS do
  local value = call('GET', KEYS[at])
  reply[at - 3] = value and {value, call('PTTL', KEYS[at])} or {}
end
return reply
