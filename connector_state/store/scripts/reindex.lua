-- Bring the index to what stands in Redis, for the given members.
--
-- KEYS  10 … the key of each member's value
-- ARGV  5 most bytes of all versions   6 … members
--
-- Returns {'ok', added, forgotten, then members whose value is not a string}.

local reply = {'ok', 0, 0}
for at = 6, #ARGV do
  local member, key = ARGV[at], KEYS[4 + at]
  local kind = call('TYPE', key).ok
  if kind == 'string' then
    local left = call('PTTL', key)
    local old, size = call('HGET', sizes, member), call('STRLEN', key)
    reply[2] = reply[2] + note(member, old, size, left >= 0 and string.format('%.0f', now_ms + left))
  else
    local ends = call('ZSCORE', expiries, member)
    if ends and tonumber(ends) < now_ms and end_history(member, ends) then
      limit_deleted(member, tonumber(ARGV[5]))
    end
    reply[3] = reply[3] + forget(member)
    if kind ~= 'none' then reply[#reply + 1] = member end
  end
end
return reply
