"""The floor: a WSGI application that does nothing."""

from collections.abc import Iterable
from typing import Any


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer 204."""
    start_response("204 No Content", [])
    return [b""]
