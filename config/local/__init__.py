"""The parts that only `make run` needs: embedded Valkey, generated settings, demo accounts."""
