"""The product with benchmarks/bare.lua as its script: what index, limits and audit are beside."""

from pathlib import Path

from config.wsgi import application
from connector_state.store import values
from connector_state.store.scripts import Source

__all__ = ["application"]

values._OPERATE.usual = Source((Path(__file__).parent / "bare.lua").read_text())
