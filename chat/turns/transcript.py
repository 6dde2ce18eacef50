"""A conversation as its user reads it: with the turns that are not stored yet."""

import re
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from chat.conversations.history import TurnMessages, has_turn, split_turns
from chat.conversations.state import ConversationKey, ConversationState, MessageEntry
from chat.deadline import Deadline
from chat.errors import InvalidInput, StoreError
from chat.models import Turn
from chat.models.turns import put_turns
from chat.moments import microseconds
from chat.turns import index
from chat.turns.open_conversation import OpenConversation, Snapshot

STORED = "stored"
_CURSOR = re.compile("[0-9a-f]{14}(?:[0-9a-f]{10})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Transcript:
    """A conversation with all its turns; `status` is by turn id, for those not stored.

    `failure`: why the store could not be read; this is what the rows hold then. `snapshot` is what
    was read, None after a failure.
    """

    state: ConversationState
    status: dict[str, str]
    title: str
    id_is_integer: bool
    snapshot: Snapshot | None
    failure: StoreError | None

    @property
    def degraded(self) -> bool:
        """Whether some of the conversation may be missing."""
        return self.failure is not None

    def as_json(self, message: MessageEntry) -> dict[str, Any]:
        """Return the message as the API shows it."""
        return {
            **message.model_dump(include={"role", "content", "timestamp", "tool_calls", "stopped"}),
            "turn_id": message.turn_id,
            "status": self.status.get(message.turn_id or "", STORED),
        }


@dataclass(frozen=True, slots=True)
class Page:
    """Messages in order; `next_cursor` leads to the page before them, None: there is none."""

    messages: list[MessageEntry]
    next_cursor: str | None


def read(key: ConversationKey, deadline: Deadline, *, repairs: bool = True) -> Transcript | None:
    """Return the conversation, None when there is none.

    Args:
        key: which one.
        deadline: for reading it.
        repairs: make the index say what the document says, where they differ.

    Raises:
        StoreError: whether there is one only the store knows, which can't be read.
    """
    # The rows first: a turn that is stored between the two reads is seen twice, not never.
    turns = list(Turn.objects.of(key))
    conversation = OpenConversation(key, deadline)
    row, failure = conversation.row, None
    try:
        conversation.read()
        row = index.repair(conversation) if repairs else row
    except StoreError as error:
        failure = error
    state = conversation.state
    shown = turns if failure else _not_stored(turns, state)
    if state is None and not shown:
        if failure is not None and (row is None or row.active):
            raise failure
        return None
    state = conversation.state_or_new(row.created_at if row else timezone.now())
    return Transcript(
        state=put_turns(state, shown, state.updated_at),
        status={turn.id: _status(turn) for turn in shown},
        title=row.title if row else "",
        id_is_integer=row.id_is_integer if row else False,
        snapshot=conversation.snapshot,
        failure=failure,
    )


def _not_stored(turns: list[Turn], state: ConversationState | None) -> list[Turn]:
    """Return the turns to be shown beside the document, which is newer than these rows.

    One that had no reply then, and is in the document, is looked at again: by now it may be
    answered and stored, and its old row would hide the reply.
    """
    turns = [turn for turn in turns if turn.state != Turn.State.STORED]
    if state is None:
        return turns
    in_doubt = [turn.pk for turn in turns if turn.reply is None and has_turn(state, turn.pk)]
    if not in_doubt:
        return turns
    rows = Turn.objects.filter(pk__in=in_doubt).exclude(state=Turn.State.STORED)
    now = {turn.pk: turn for turn in rows}
    return [now.get(turn.pk, turn) for turn in turns if turn.pk in now or turn.pk not in in_doubt]


def _status(turn: Turn) -> str:
    if turn.state == Turn.State.ACCEPTED:
        return "under way"
    if turn.state in (Turn.State.ANSWERED, Turn.State.FAILED):
        return "waiting"
    return str(turn.state)


def page(state: ConversationState, limit: int, before: str | None) -> Page:
    """Return the newest messages, in whole turns, before the cursor.

    Args:
        state: all of the conversation.
        limit: how many messages about; one turn at least.
        before: the cursor of the page after, None for the newest.

    Raises:
        InvalidInput: the cursor is not from this conversation.
    """
    turns = split_turns(state.messages)
    if before is not None:
        turns = turns[: _end(turns, before)]
    start, count = len(turns), 0
    while start and (
        count == 0
        or count + len(turns[start - 1]) <= limit
        or turns[start - 1][0].timestamp == turns[start][0].timestamp
    ):
        start -= 1
        count += len(turns[start])
    messages = [message for turn in turns[start:] for message in turn]
    return Page(messages, _cursor(turns[start]) if start else None)


def _cursor(turn: TurnMessages) -> str:
    return turn[0].turn_id or f"{microseconds(turn[0].timestamp):014x}"


def _end(turns: list[TurnMessages], before: str) -> int:
    """Return the index of the turn that the cursor names, or of the first at its time or later."""
    for place, turn in enumerate(turns):
        if turn[0].turn_id == before:
            return place
    if not _CURSOR.fullmatch(before):
        raise InvalidInput("The cursor is not one of this conversation.", code="invalid_cursor")
    moment = int(before[:14], 16)
    return sum(microseconds(turn[0].timestamp) < moment for turn in turns)
