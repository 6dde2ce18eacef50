-- What every script begins with: claim the nonce, refuse the revoked, keep the rate, note the use.
--
-- KEYS  1 nonce   2 revoked   3 rate   4 last_used
-- ARGV  1 claim id, of this very request         2 how long the nonce is remembered, s
--       3 who calls (key id, or operator:NAME)   4 requests per second, and burst (0: any)
--
-- No function is defined here: Redis would make it anew in each run.

local call, caller = redis.call, ARGV[3]
local time = call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

-- Claim the nonce, before anything else and whatever follows. `done` is what an earlier run of this
-- very request, whose reply was lost, had done: nil for nothing, or the outcomes of its writes.
local is_new, done = call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2])
if not is_new then
  local held = call('GET', KEYS[1])
  if string.sub(held, 1, #ARGV[1]) ~= ARGV[1] then return {'replay'} end
  if #held > #ARGV[1] then done = string.sub(held, #ARGV[1] + 1) end
end

-- Most connectors have neither marks nor expiries (KEYS[7] of scripts/index.lua): one look at both.
local any_marks_or_expiries = call('EXISTS', KEYS[2], KEYS[7] or KEYS[2]) > 0
if any_marks_or_expiries and string.sub(caller, 1, 9) ~= 'operator:' then
  local marks = call('HMGET', KEYS[2], caller, '*')
  if marks[1] or marks[2] then return {'revoked'} end
end

if is_new then
  local per_second = tonumber(ARGV[4])
  if per_second > 0 then -- GCRA
    local interval = 1000 / per_second
    local arrival = tonumber(call('GET', KEYS[3]) or 0)
    -- A clock that stepped back must not make anybody wait for longer than the burst takes.
    arrival = math.max(now_ms, math.min(arrival, now_ms + 1000))
    local wait = arrival - now_ms - (1000 - interval)
    if wait > 0 then return {'limited', math.ceil(wait)} end
    arrival = arrival + interval
    call('SET', KEYS[3], arrival, 'PX', math.ceil(arrival - now_ms) + 1)
  end
  call('HSET', KEYS[4], caller, time[1])
end
