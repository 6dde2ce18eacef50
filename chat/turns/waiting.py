"""Turns that are to be stored, and what they look like in the document."""

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db.models import Q, QuerySet
from django.utils import timezone

from chat.conversations.history import put_turn
from chat.conversations.json_values import cap_object
from chat.conversations.state import ConversationKey, ConversationState, MessageEntry, ToolCallInfo
from chat.locks import in_line
from chat.models import Turn

RESULT_MAX_BYTES = 65_536
TO_STORE = (Turn.State.ANSWERED, Turn.State.FAILED)
INTERRUPTED = "interrupted"


def turns_of(key: ConversationKey) -> QuerySet[Turn]:
    """All rows of the conversation, in the order of acceptance."""
    return Turn.objects.filter(user_id=key.user_id, conversation_id=key.conversation_id).order_by(
        "id"
    )


def to_be_stored(now: datetime) -> Q:
    """Turns that are over but not stored; also those whose process died (their lease has ended)."""
    return Q(state__in=TO_STORE) | Q(state=Turn.State.ACCEPTED, lease_until__lte=now)


def waiting_turns(key: ConversationKey) -> list[Turn]:
    """Return the conversation's turns that are to be stored, in the order of acceptance.

    A turn whose process died becomes a failed one here: its message, and what its tools did, are
    stored; a repeat of its request takes it up again.
    """
    now = timezone.now()
    waiting = list(turns_of(key).filter(to_be_stored(now)))
    if any(turn.state == Turn.State.ACCEPTED for turn in waiting):
        with in_line():
            turns_of(key).filter(state=Turn.State.ACCEPTED, lease_until__lte=now).update(
                state=Turn.State.FAILED,
                failure=INTERRUPTED,
                lease_until=None,
                lease_token=secrets.token_hex(16),
            )
        waiting = list(turns_of(key).filter(state__in=TO_STORE))
    return waiting


def messages_of(turn: Turn) -> list[MessageEntry]:
    """Return the turn as the document has it: the message, and what came of it.

    A turn without a reply has an assistant's message only if tools had run: the model must know.
    """
    entries = [MessageEntry(role="user", content=turn.message, timestamp=turn.accepted_at)]
    if turn.reply is not None or turn.tool_calls:
        calls = [
            ToolCallInfo(
                tool=call["tool"],
                parameters=call["parameters"],
                result=cap_object(call["result"], RESULT_MAX_BYTES),
            )
            for call in turn.tool_calls
        ]
        entries.append(
            MessageEntry(
                role="assistant",
                content=turn.reply or "",
                timestamp=turn.answered_at or turn.accepted_at,
                tool_calls=calls or None,
            )
        )
    return [entry.model_copy(update={"turn_id": turn.id}) for entry in entries]


def put_turns(state: ConversationState, turns: Iterable[Turn], now: datetime) -> ConversationState:
    """Return the conversation with all these turns in it."""
    for turn in turns:
        state = put_turn(state, turn.id, messages_of(turn), now)
    return state


def holds_all(state: ConversationState, turns: Sequence[Turn]) -> bool:
    """Whether the conversation holds these turns as they are now."""
    return all(
        [_gist(message) for message in state.messages if message.turn_id == turn.id]
        == [_gist(message) for message in messages_of(turn)]
        for turn in turns
    )


def _gist(message: MessageEntry) -> tuple[str, str, int]:
    return message.role, message.content, len(message.tool_calls or ())
