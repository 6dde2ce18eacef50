"""Count in Redis what was refused: authentication failures by day, calls by connector and hour."""
