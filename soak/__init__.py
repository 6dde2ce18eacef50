"""`make soak`: the production layout under load and faults, and the proof that it kept its word."""
