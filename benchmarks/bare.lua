-- What a PUT would be without index, limits, audit and outcome: nonce and value alone. It takes
-- what scripts/operate.lua takes, so that the server around it is the same.
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2]) then return {'replay'} end
redis.call('SET', KEYS[10], ARGV[15])
return {'ok', '1'}
