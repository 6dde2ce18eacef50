"""Admin's pages of connectors and their policy."""
