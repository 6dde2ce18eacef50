"""Admin's pages of states that can't be read."""
