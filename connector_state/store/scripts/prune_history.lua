-- Forget versions that have ended, of a part of the history.
--
-- ARGV  5 cursor of HSCAN   6 days for which the versions of a value that is gone are kept (-1: forget
--       all)
--
-- Returns {'ok', the next cursor ('0': that was all), keys of which all versions were forgotten}.

local pruned = 0
-- Only the logs: a part of the versions themselves may be many megabytes.
local cursor, found = unpack(call('HSCAN', history, ARGV[5], 'MATCH', '[^\0]*', 'COUNT', 500))
for at = 1, #found, 2 do
  local member, log = found[at], found[at + 1]
  local _, at, etag, _, expires = string.match(log, LINE)
  local gone_at = etag == DELETED and at or expires ~= '0' and expires
  local is_over = ARGV[6] == '-1' or gone_at and now_ms - gone_at > ARGV[6] * DAY_MS
  if is_over then
    drop_history(member)
  elseif etag ~= DELETED and gone_at and tonumber(gone_at) < now_ms then
    is_over = not end_history(member, gone_at)
  end
  if is_over then pruned = pruned + 1 end
end
return {'ok', cursor, pruned}
