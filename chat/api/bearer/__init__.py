"""Bearer tokens: their verification, and the keys for it."""
