-- What stands under members of the index. Those without a value are taken out of it.
--
-- KEYS  10 … the key of each member's value
-- ARGV  5 how many values to describe at most   6 … members
--
-- Returns {'ok', members looked at, then for each value: number of its member, size, etag, ttl ms
-- (-1: none)}. It may look at fewer than it could.

local BYTES_AT_MOST = 1048576 -- to hash in one call

local reply, most, bytes = {'ok', 0}, 2 + 4 * tonumber(ARGV[5]), 0
for number = 1, #KEYS - 9 do
  if #reply == most or bytes >= BYTES_AT_MOST then break end
  local key = KEYS[9 + number]
  local value = redis.pcall('GET', key)
  if type(value) == 'string' then
    bytes = bytes + #value
    reply[#reply + 1] = number
    reply[#reply + 1] = #value
    reply[#reply + 1] = redis.sha1hex(value)
    reply[#reply + 1] = call('PTTL', key)
  else
    -- expired, deleted from outside, or (an error) no string, which is no value of ours
    forget(ARGV[5 + number])
  end
  reply[2] = number
end
return reply
