"""Conversations to store."""

import time
import uuid
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from chat.conversations.history import put_turn
from chat.conversations.json_values import clean_text
from chat.conversations.state import (
    ConversationKey,
    ConversationState,
    MessageEntry,
    ToolCallInfo,
    new_conversation,
)

# For hypothesis: what a conversation may hold.
TEXT = st.text().map(clean_text)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)

MORNING = datetime(2025, 12, 25, 10, 0, tzinfo=UTC)


def soon(seconds: float = 20) -> float:
    """A deadline that leaves enough time."""
    return time.monotonic() + seconds


def fresh_key(user_id: str = "user-abc123") -> ConversationKey:
    """The key of a conversation that nobody has had yet."""
    return ConversationKey(user_id, uuid.uuid4().hex)


def turn(
    number: int = 0, text: str = "Add task: Buy groceries", reply: str = "I've added it."
) -> list[MessageEntry]:
    """A message of the user and its answer; accepted `number` minutes after ten in the morning."""
    accepted = MORNING + timedelta(minutes=number)
    call = ToolCallInfo(tool="add_task", parameters={"title": text}, result={"task_id": number})
    return [
        MessageEntry(role="user", content=text, timestamp=accepted),
        MessageEntry(
            role="assistant",
            content=reply,
            timestamp=accepted + timedelta(seconds=2),
            tool_calls=[call],
        ),
    ]


def conversation(key: ConversationKey, turns: int = 1, text: str = "Hello") -> ConversationState:
    """A conversation of so many turns, with the ids turn-0, turn-1..."""
    state = new_conversation(key, MORNING)
    for number in range(turns):
        state = put_turn(state, f"turn-{number}", turn(number, text), MORNING)
    return state
