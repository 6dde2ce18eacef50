"""The one place that every answered request passes, whichever server and path it took."""

from collections.abc import Mapping
from typing import Any


def note(environ: Mapping[str, Any], status: int | None, seconds: float) -> None:
    """Take note of a request: for counting and logging, which are to come.

    Args:
        environ: WSGI's environ of the request.
        status: of the answer; None if the client left before there was one.
        seconds: from its headers to the last of its answer; of a stream under WSGI, to the first.
    """
