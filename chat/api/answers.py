"""Answers of the chat, which say so when the conversation store was not reached (degraded)."""

from typing import Any

from django.http import HttpResponse

from chat.conversations.state import format_timestamp
from chat.models import Turn
from common import json_answers

DEGRADED = "X-Chat-Degraded"


def turn_as_json(turn: Turn) -> dict[str, Any]:
    """Return the answer to a message, as the contract has it; `stopped` says that it was."""
    answer = {
        "reply": turn.reply,
        "conversation_id": client_id(turn.conversation_id, turn.id_is_integer),
        "tool_calls": turn.tool_calls,
        "timestamp": format_timestamp(turn.answered_at or turn.accepted_at),
    }
    return answer | ({"stopped": True} if turn.stopped else {})


def client_id(conversation_id: str, is_integer: bool) -> int | str:
    """Return the id in the JSON type in which the client knows it."""
    return int(conversation_id) if is_integer else conversation_id


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
