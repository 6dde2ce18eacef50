"""The messages of a conversation as turns: put in, removed, truncated, and the model's window.

Pure functions: they return new conversations. A turn is what one request added: consecutive
messages with one turn id; without ids (another writer's) a turn begins at each message of the user.
"""

from collections.abc import Sequence
from datetime import datetime

from chat.conversations.state import (
    ConversationState,
    MessageEntry,
    encoded_message_sizes,
    encoded_size,
    encoded_size_at_most,
)

TurnMessages = list[MessageEntry]


def split_turns(messages: Sequence[MessageEntry]) -> list[TurnMessages]:
    """Return the messages as whole turns, oldest first."""
    turns: list[TurnMessages] = []
    for message in messages:
        if turns and _continues(turns[-1][-1], message):
            turns[-1].append(message)
        else:
            turns.append([message])
    return turns


def _continues(last: MessageEntry, message: MessageEntry) -> bool:
    if message.turn_id is None and last.turn_id is None:
        return message.role == "assistant"
    return message.turn_id == last.turn_id


def window(state: ConversationState, max_messages: int) -> list[MessageEntry]:
    """Return the last `max_messages` messages, exactly those; the first may be an answer."""
    return state.messages[-max_messages:]


def has_turn(state: ConversationState, turn_id: str) -> bool:
    """Whether the conversation holds this turn."""
    return any(message.turn_id == turn_id for message in state.messages)


def put_turn(
    state: ConversationState, turn_id: str, messages: Sequence[MessageEntry], now: datetime
) -> ConversationState:
    """Return the conversation with these messages as the turn `turn_id`.

    Idempotent: a turn that the conversation has is replaced in its place. A new one is put in the
    order of acceptance: before the turns whose first message has a later timestamp, so the first of
    `messages` carries the time at which the turn was accepted.

    Args:
        messages: of the turn, one at least; their `turn_id` is set here.
        now: aware; becomes `updated_at`, which never goes back.
    """
    turn = [message.model_copy(update={"turn_id": turn_id}) for message in messages]
    turns = split_turns(state.messages)
    places = [place for place, other in enumerate(turns) if other[0].turn_id == turn_id]
    if places:
        place = places[0]
        turns = [other for other in turns if other[0].turn_id != turn_id]
    else:
        place = len(turns)
        while place and turns[place - 1][0].timestamp > turn[0].timestamp:
            place -= 1
    turns.insert(place, turn)
    return _with_turns(state, turns, now)


def remove_turn(state: ConversationState, turn_id: str, now: datetime) -> ConversationState:
    """Return the conversation without this turn."""
    turns = [turn for turn in split_turns(state.messages) if turn[0].turn_id != turn_id]
    return _with_turns(state, turns, now)


def truncate(
    state: ConversationState, turn_in_hand: str, max_messages: int, max_bytes: int
) -> ConversationState:
    """Return the conversation without its oldest turns, so that it keeps both limits.

    Whole turns are removed, never the one in hand: if that alone exceeds a limit, it alone is kept.

    Args:
        turn_in_hand: the id of the turn that is being stored.
        max_messages: CHAT_MAX_MESSAGES.
        max_bytes: of the encoded document, CHAT_MAX_STATE_BYTES.
    """
    turns = split_turns(state.messages)
    messages_over = len(state.messages) - max_messages
    bytes_over = encoded_size_at_most(state) - max_bytes
    if bytes_over > 0:
        bytes_over = encoded_size(state) - max_bytes
    if messages_over <= 0 and bytes_over <= 0:
        return state
    kept: list[TurnMessages] = []
    for turn in turns:
        if (messages_over <= 0 and bytes_over <= 0) or turn[0].turn_id == turn_in_hand:
            kept.append(turn)
            continue
        messages_over -= len(turn)
        bytes_over -= sum(encoded_message_sizes(turn))
    return state.model_copy(update={"messages": _flat(kept)})


def _with_turns(
    state: ConversationState, turns: list[TurnMessages], now: datetime
) -> ConversationState:
    return state.model_copy(
        update={"messages": _flat(turns), "updated_at": max(state.updated_at, now)}
    )


def _flat(turns: list[TurnMessages]) -> list[MessageEntry]:
    return [message for turn in turns for message in turn]
