"""Turns in a conversation: order, idempotence, the window and the limits."""

import itertools
import json
import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.conversations.history import (
    has_turn,
    put_turn,
    remove_turn,
    split_turns,
    truncate,
    window,
)
from chat.conversations.state import (
    ConversationKey,
    ConversationState,
    MessageEntry,
    decode,
    encode,
    encoded_size,
    encoded_size_at_most,
)
from tests.chat.samples import JSON, MORNING, TEXT, conversation, fresh_key, turn

NO_LIMIT = 10**9
OBJECT = st.dictionaries(TEXT, JSON, max_size=2)


def _ids(state: ConversationState) -> list[str | None]:
    return [one[0].turn_id for one in split_turns(state.messages)]


def _foreign(*roles: str) -> list[MessageEntry]:
    """Messages of another writer, without turn ids."""
    return [
        MessageEntry.model_validate({"role": role, "content": str(number), "timestamp": MORNING})
        for number, role in enumerate(roles)
    ]


def test_put_turn__in_the_order_of_acceptance_however_they_come() -> None:
    numbers = list(range(6))
    random.Random(5).shuffle(numbers)
    state = conversation(fresh_key(), 0)
    for number in numbers:
        state = put_turn(state, f"turn-{number}", turn(number), MORNING)
    assert _ids(state) == [f"turn-{number}" for number in range(6)]


def test_put_turn__all_orders_make_one_document() -> None:
    key = fresh_key()
    documents = set()
    for order in itertools.permutations(range(4)):
        state = conversation(key, 0)
        for number in order:
            state = put_turn(state, f"turn-{number}", turn(number), MORNING)
        documents.add(encode(state))
    assert len(documents) == 1


def test_put_turn__again_replaces_itself() -> None:
    state = conversation(fresh_key(), 5)
    assert put_turn(state, "turn-2", turn(2, "Hello"), MORNING) == state
    changed = put_turn(state, "turn-2", turn(2)[:1], MORNING)
    assert _ids(changed) == _ids(state)
    assert len(changed.messages) == 9


def test_put_turn__reply_stands_right_after_its_message() -> None:
    state = conversation(fresh_key(), 0)
    # Two tabs: the second was accepted before the first one's reply came.
    slow, quick = turn(0), turn(0)
    quick = [m.model_copy(update={"timestamp": m.timestamp + timedelta(seconds=1)}) for m in quick]
    state = put_turn(state, "quick", quick, MORNING)
    state = put_turn(state, "slow", slow, MORNING)
    assert [(m.turn_id, m.role) for m in state.messages] == [
        ("slow", "user"),
        ("slow", "assistant"),
        ("quick", "user"),
        ("quick", "assistant"),
    ]


def test_put_turn__accepted_at_the_same_moment_stays_in_the_order_of_arrival() -> None:
    state = conversation(fresh_key(), 0)
    for turn_id in ("b", "a", "c"):
        state = put_turn(state, turn_id, turn(0), MORNING)
    assert _ids(state) == ["b", "a", "c"]


def test_put_turn__leaves_its_argument_alone_and_never_turns_time_back() -> None:
    state = conversation(fresh_key(), 1)
    before = encode(state)
    later = put_turn(state, "x", turn(3), MORNING + timedelta(hours=1))
    assert encode(state) == before
    assert later.updated_at == MORNING + timedelta(hours=1)
    assert put_turn(later, "y", turn(4), MORNING).updated_at == later.updated_at
    assert later.created_at == state.created_at


def test_remove_turn__only_this_one() -> None:
    state = conversation(fresh_key(), 3)
    assert _ids(remove_turn(state, "turn-1", MORNING)) == ["turn-0", "turn-2"]
    assert remove_turn(state, "unknown", MORNING) == state
    assert has_turn(state, "turn-1")
    assert not has_turn(remove_turn(state, "turn-1", MORNING), "turn-1")


def test_split_turns__of_another_writer() -> None:
    messages = _foreign("assistant", "user", "assistant", "assistant", "user", "user", "assistant")
    assert [len(one) for one in split_turns(messages)] == [1, 3, 1, 2]


@pytest.mark.parametrize(
    ("limit", "expected"), [(1, 1), (2, 2), (49, 49), (50, 50), (51, 51), (500, 120)]
)
def test_window__is_exactly_the_last_messages(limit: int, expected: int) -> None:
    state = conversation(fresh_key(), 60)
    assert window(state, limit) == state.messages[len(state.messages) - expected :]


def test_truncate__within_both_limits_is_untouched() -> None:
    state = conversation(fresh_key(), 100)
    assert truncate(state, "turn-99", 200, NO_LIMIT) is state


def test_truncate__the_201st_message_keeps_the_newest_200() -> None:
    state = conversation(fresh_key(), 101)
    assert truncate(state, "turn-100", 200, NO_LIMIT).messages == state.messages[2:]


def test_truncate__whole_turns_go() -> None:
    state = conversation(fresh_key(), 101)
    assert truncate(state, "turn-100", 199, NO_LIMIT).messages == state.messages[4:]
    assert truncate(state, "turn-100", 201, NO_LIMIT).messages == state.messages[2:]


def test_truncate__by_size() -> None:
    state = conversation(fresh_key(), 50, text="ä" * 1000)
    limit = len(encode(state)) // 2
    kept = truncate(state, "turn-49", 200, limit)
    assert limit * 0.9 < len(encode(kept)) <= limit
    assert kept.messages == state.messages[-len(kept.messages) :]


def test_truncate__never_the_turn_in_hand() -> None:
    state = conversation(fresh_key(), 10)
    assert _ids(truncate(state, "turn-0", 4, NO_LIMIT)) == ["turn-0", "turn-9"]
    assert _ids(truncate(state, "turn-3", 2, NO_LIMIT)) == ["turn-3"]
    assert _ids(truncate(state, "turn-3", 1, 10)) == ["turn-3"]


MESSAGE = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": TEXT, "timestamp": st.just("2025-12-25T10:00:00Z")},
    optional={
        "turn_id": TEXT,
        "theirs": JSON,
        "tool_calls": st.lists(
            st.fixed_dictionaries({"tool": TEXT, "parameters": OBJECT, "result": OBJECT})
        ),
    },
)


@given(st.lists(MESSAGE, max_size=5), st.dictionaries(st.just("theirs"), JSON))
def test_size_at_most__is_never_too_small(messages: list[object], theirs: dict[str, Any]) -> None:
    key = ConversationKey("\U0001f366" * 255, "c" * 50)
    stored = {**json.loads(encode(conversation(key))), "messages": messages, **theirs}
    state = decode(json.dumps(stored).encode(), key)
    assert encoded_size_at_most(state) >= encoded_size(state) == len(encode(state))
    many = state.model_copy(update={"messages": 10 * state.messages})
    assert encoded_size_at_most(many) >= encoded_size(many)


def test_size_at_most__of_an_ordinary_conversation_is_far_below_the_limit() -> None:
    state = conversation(fresh_key(), 100, "x" * 300)
    assert encoded_size_at_most(state) < 1_500_000
