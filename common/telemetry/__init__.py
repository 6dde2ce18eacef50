"""What operators learn of requests: an id for each, what logs say of it, and metrics."""
