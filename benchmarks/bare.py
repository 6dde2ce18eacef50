"""The product with benchmarks/bare.lua as its script: what index, limits and audit are beside."""

from pathlib import Path

from config.wsgi import application
from connector_state import store
from connector_state.connection import Source

__all__ = ["application"]

store._OPERATE.usual = Source((Path(__file__).parent / "bare.lua").read_text())
