"""Admin's pages of a connector's keys."""
