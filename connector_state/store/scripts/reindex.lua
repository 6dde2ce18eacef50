-- Bring the index to what stands in Redis, for the given members.
--
-- ARGV  7 … members
--
-- Returns {'ok', added, forgotten, then members whose value is not a string}.

local refusal = admit()
if refusal then return refusal end

local reply = {'ok', 0, 0}
for at = 7, #ARGV do
  local member = ARGV[at]
  local key = value_prefix .. member
  local kind = redis.call('TYPE', key).ok
  if kind == 'string' then
    local left = redis.call('PTTL', key)
    local old, size = redis.call('HGET', sizes, member), redis.call('STRLEN', key)
    reply[2] = reply[2] + note(member, old, size, left >= 0 and now_ms + left)
  else
    reply[3] = reply[3] + forget(member)
    if kind ~= 'none' then reply[#reply + 1] = member end
  end
end
return reply
