"""The product with benchmarks/bare.lua as its script: what index, limits and audit are beside."""

import hashlib
from pathlib import Path

from config.wsgi import application
from connector_state import store

__all__ = ["application"]

store._OPERATE.source = (Path(__file__).parent / "bare.lua").read_text()
store._OPERATE.sha = hashlib.sha1(store._OPERATE.source.encode(), usedforsecurity=False).hexdigest()
