"""Answers of the chat, which say so when the conversation store was not reached (degraded)."""

from typing import Any

from django.http import HttpResponse

from common import json_answers

DEGRADED = "X-Chat-Degraded"


def json_answer(data: Any, *, degraded: bool = False) -> HttpResponse:
    """Return data as JSON.

    Args:
        data: whatever json.dumps takes.
        degraded: the conversation could not be read or saved for this answer.
    """
    return json_answers.json_response(data, _headers(degraded))


def no_content(*, degraded: bool = False) -> HttpResponse:
    """Return a 204; `degraded` is as in json_answer."""
    return json_answers.no_content(_headers(degraded))


def _headers(degraded: bool) -> dict[str, str]:
    return {DEGRADED: "true"} if degraded else {}
