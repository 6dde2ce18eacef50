-- Forget versions that have ended, of a part of the history.
--
-- ARGV  5 cursor of HSCAN   6 days for which the versions of a deleted key are kept (-1: forget all)
--
-- Returns {'ok', the next cursor ('0': that was all), keys whose versions were forgotten}.

local pruned = 0
-- Only the logs: a part of the versions themselves may be many megabytes.
local cursor, found = unpack(call('HSCAN', history, ARGV[5], 'MATCH', '[^\0]*', 'COUNT', 500))
for at = 1, #found, 2 do
  local member, log = found[at], found[at + 1]
  local _, at, etag, _, expires = string.match(log, LINE)
  local is_over = ARGV[6] == '-1' or etag == DELETED and now_ms - at > ARGV[6] * DAY_MS
  if is_over or expires ~= '0' and tonumber(expires) < now_ms then
    drop_history(member)
    pruned = pruned + 1
  end
end
return {'ok', cursor, pruned}
