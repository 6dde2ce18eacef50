"""Answers: JSON, never kept by a cache, and saying so when they are degraded."""

import json
from typing import Any

from django.http import HttpResponse

DEGRADED = "X-Chat-Degraded"


def json_answer(data: Any, *, degraded: bool = False, status: int = 200) -> HttpResponse:
    """Return a JSON answer.

    Args:
        data: what json.dumps takes.
        degraded: this answer could not use or save the state.
        status: the HTTP status.
    """
    response = HttpResponse(
        json.dumps(data, ensure_ascii=False).encode(),
        content_type="application/json",
        status=status,
    )
    return finished(response, degraded=degraded)


def no_content(*, degraded: bool = False) -> HttpResponse:
    """Return a 204."""
    response = HttpResponse(status=204)
    del response.headers["Content-Type"]
    return finished(response, degraded=degraded)


def finished(response: HttpResponse, *, degraded: bool) -> HttpResponse:
    """Set the headers that every answer of the chat has."""
    response.headers["Cache-Control"] = "no-store"
    if degraded:
        response.headers[DEGRADED] = "true"
    return response
