"""The environment variables: their types and defaults, and how they are read."""

from config.env.environment import Environment
from config.env.loading import load

__all__ = ["Environment", "load"]
