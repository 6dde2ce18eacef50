-- Claim the nonce of a signed request that has no other business in Redis.
-- Returns {'ok'}, {'replay'} or {'limited', wait ms}.

return admit() or {'ok'}
