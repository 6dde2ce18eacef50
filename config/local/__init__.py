"""What only `make run` needs: the embedded Valkey, generated settings, demo data."""
