"""Turns that the store refused for good: an operator retries, edits or discards them."""

from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from chat.conversations.json_values import cap_object, check_text
from chat.conversations.state import ToolCallInfo
from chat.deadline import Deadline
from chat.errors import InvalidInput, StoreError
from chat.locks import user_transaction
from chat.models import Turn
from chat.turns.flush import flush
from chat.turns.open_conversation import OpenConversation
from common.database.busy import DatabaseBusy
from common.validation import first_error

CONTENT_MAX_CHARACTERS = 100_000
RESULT_MAX_BYTES = 65_536

_TOOL_CALLS = TypeAdapter(list[ToolCallInfo])


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a turn; `reply` None: it was not answered."""

    message: str
    reply: str | None
    tool_calls: list[dict[str, Any]]


def read_content(message: str, reply: str, tool_calls: str) -> Content:
    """Return what an operator has typed; an empty reply is none, `tool_calls` is JSON.

    Results of tools are cut to RESULT_MAX_BYTES. Those of the tools themselves are smaller.

    Raises:
        InvalidInput: a conversation can't hold that; the detail says what is wrong with it.
    """
    for name, text in (("message", message), ("reply", reply)):
        if len(text) > CONTENT_MAX_CHARACTERS:
            raise InvalidInput(f"The {name} has more than {CONTENT_MAX_CHARACTERS} characters.")
        try:
            check_text(text)
        except ValueError as error:
            raise InvalidInput(f"The {name}: {error}.") from None
    if not message.strip():
        raise InvalidInput("The message is empty.")
    try:
        calls = _TOOL_CALLS.validate_json(tool_calls or "[]")
    except ValidationError as error:
        place, reason = first_error(error, ToolCallInfo.model_fields)
        at = f", item {place}" if place else ""
        raise InvalidInput(f"The tool calls{at}: {reason}.") from None
    dumped = [call.model_dump(mode="json") for call in calls]
    for call in dumped:
        call["result"] = cap_object(call["result"], RESULT_MAX_BYTES)
    return Content(message, reply or None, dumped)


def requeue(turn: Turn, content: Content | None = None) -> bool:
    """Put a dead letter back among the turns that wait for the store, edited or as it is.

    Return False if it is no dead letter any more.
    """
    reply = turn.reply if content is None else content.reply
    changes: dict[str, Any] = {
        "refusal": "",
        "state": Turn.State.FAILED if reply is None else Turn.State.ANSWERED,
    }
    if content is not None:
        changes |= asdict(content)
    with user_transaction(turn.user_id):
        return bool(Turn.objects.dead_letters().filter(pk=turn.pk).update(**changes))


def retry(turn: Turn, content: Content | None, deadline: Deadline) -> Turn | None:
    """Put it back, and try to store it at once; return the turn as it is then.

    Its state says what came of it: stored, a dead letter again, or waiting (the store is away, or
    turns before it wait). None if it was no dead letter any more.
    """
    if not requeue(turn, content):
        return None
    try:
        flush(OpenConversation(turn.key, deadline))
    except (StoreError, DatabaseBusy):
        pass  # it waits
    return Turn.objects.filter(pk=turn.pk).first()


def discard(turn: Turn) -> bool:
    """Delete a dead letter; return False if it is none any more."""
    with user_transaction(turn.user_id):
        deleted, _ = Turn.objects.dead_letters().filter(pk=turn.pk).delete()
    return bool(deleted)
