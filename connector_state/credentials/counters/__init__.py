"""Count calls in Redis: those refused, by day and reason, by connector and hour, and all by day."""
