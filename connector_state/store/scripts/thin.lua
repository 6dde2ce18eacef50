-- Which versions of a key are kept: the newest that differ, and of each day the value that it ended
-- with, which is one whose successor was written on a later day.

-- Return a log with those lines only that are to be kept below its first, and the fields and bytes
-- of the versions that are not.
local function thin(log, member, keep_versions, keep_days)
  local kept, dropped, bytes, count = {}, {}, 0, 0
  local seen, newer_day, oldest_day = {}, nil, nil
  for line, at, etag, size, expires in string.gmatch(log, LINE) do
    local day, is_new, is_kept = math.floor(at / DAY_MS), not seen[etag], true
    if newer_day then
      local ended_a_day = newer_day > day and newer_day > oldest_day
      is_kept = (is_new and count < keep_versions or ended_a_day)
        and (expires == '0' or tonumber(expires) > now_ms)
      if is_kept and is_new then count = count + 1 end
    else
      oldest_day = day - keep_days
    end
    if is_kept then
      kept[#kept + 1], seen[etag], newer_day = line, true, day
    else
      dropped[#dropped + 1], bytes = '\0' .. at .. member, bytes + size
    end
  end
  return table.concat(kept), dropped, bytes
end
