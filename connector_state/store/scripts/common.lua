-- What every script begins with. The scripts are joined to it when they are loaded.
--
-- KEYS  1 nonce  2 index  3 sizes  4 expiries  5 audit  6 rate  7 last_used
-- ARGV  1 claim id, of this very request
--       2 how long the nonce is remembered, s      3 who calls (key id, or operator:NAME)
--       4 allowed requests per second (0: any)     5 allowed burst, requests
--       6 prefix of the connector's value keys     7 … the script's own
--
-- Value keys are made here from the prefix, not declared in KEYS: a sweep finds out by itself
-- which it touches. This is one more reason why Redis Cluster is not supported.

local nonce_key, index, sizes, expiries = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local audit, rate, last_used = KEYS[5], KEYS[6], KEYS[7]
local claim_id, nonce_ttl, caller = ARGV[1], ARGV[2], ARGV[3]
local per_second, burst, value_prefix = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

-- Claim the nonce, before anything else and whatever follows.
-- Returns 'new'; 'replay', when another request used it; or, when this very request did and its
-- reply was lost, 'again' with what it had remembered (nil when it had got no further).
local function claim_nonce()
  if redis.call('SET', nonce_key, claim_id, 'NX', 'EX', nonce_ttl) then return 'new' end
  local held = redis.call('GET', nonce_key)
  if string.sub(held, 1, #claim_id) ~= claim_id then return 'replay' end
  if #held == #claim_id then return 'again' end
  return 'again', cmsgpack.unpack(string.sub(held, #claim_id + 1))
end

-- Keep the outcome of writes under the nonce, for a retry of this very request.
local function remember(outcome)
  redis.call('SET', nonce_key, claim_id .. cmsgpack.pack(outcome), 'EX', nonce_ttl)
end

-- GCRA. Returns 0, or the milliseconds until the next request is allowed.
local function throttle()
  if per_second == 0 then return 0 end
  local interval = 1000 / per_second
  local arrival = tonumber(redis.call('GET', rate) or 0)
  -- A clock that stepped back must not make anybody wait for longer than the burst takes.
  arrival = math.max(now_ms, math.min(arrival, now_ms + interval * burst))
  local wait = arrival - now_ms - interval * (burst - 1)
  if wait > 0 then return math.ceil(wait) end
  arrival = arrival + interval
  redis.call('SET', rate, string.format('%.3f', arrival), 'PX', math.ceil(arrival - now_ms) + 1)
  return 0
end

-- Claim, limit and note the use. Returns a refusal to answer with, or nil and what was remembered.
local function admit()
  local claimed, remembered = claim_nonce()
  if claimed == 'replay' then return {'replay'} end
  if claimed == 'new' then
    local wait = throttle()
    if wait > 0 then return {'limited', wait} end
    redis.call('HSET', last_used, caller, time[1])
  end
  return nil, remembered
end

-- Take a member out of the index. Returns 1 if it was in it, else 0.
local function forget(member)
  local size = redis.call('HGET', sizes, member)
  if size then
    redis.call('HDEL', sizes, member)
    redis.call('HINCRBY', sizes, 'total', -size)
  end
  redis.call('ZREM', expiries, member)
  return redis.call('ZREM', index, member)
end

-- Bring the index to a member's size and expiry (ms since the epoch, or false for none). `old` is
-- the size that the index has, or false. Returns 1 if the member is new to it, else 0.
local function note(member, old, size, expires_ms)
  if not old then redis.call('ZADD', index, 0, member) end
  if old ~= tostring(size) then
    redis.call('HSET', sizes, member, size)
    redis.call('HINCRBY', sizes, 'total', size - (old or 0))
  end
  if expires_ms then
    redis.call('ZADD', expiries, string.format('%.0f', expires_ms), member)
  else
    redis.call('ZREM', expiries, member)
  end
  return old and 0 or 1
end

-- Take members whose values expired out of the index, `most` at once. Returns how many were due.
-- Only what was due before this millisecond: one that ends in it may still stand, and would be put
-- back as due now, again and again.
local function sweep(most)
  local before_now = string.format('(%.0f', now_ms)
  local due = redis.call('ZRANGEBYSCORE', expiries, '-inf', before_now, 'LIMIT', 0, most)
  for _, member in ipairs(due) do
    local left = redis.call('PTTL', value_prefix .. member)
    if left == -2 then
      forget(member)
    elseif left == -1 then
      redis.call('ZREM', expiries, member)
    else
      redis.call('ZADD', expiries, string.format('%.0f', now_ms + left), member)
    end
  end
  return #due
end
