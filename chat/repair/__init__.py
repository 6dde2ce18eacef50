"""What operators repair: turns that the store refused, and documents that can't be read."""
