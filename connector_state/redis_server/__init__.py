"""Find out whether the Redis at hand can be used: ask it, try what a call does, fail it over."""
