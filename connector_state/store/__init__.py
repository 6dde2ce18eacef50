"""Values, their index, limits and audit in Redis."""
