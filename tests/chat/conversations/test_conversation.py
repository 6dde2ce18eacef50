"""The conversation's payload: what goes in, what comes out, what is refused."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chat.conversations.json_values import MAX_DEPTH
from chat.conversations.state import (
    ConversationKey,
    ConversationState,
    InvalidConversation,
    MessageEntry,
    ToolCallInfo,
    decode,
    encode,
    new_conversation,
)
from tests.chat.samples import JSON, MORNING, TEXT, conversation

KEY = ConversationKey("user-abc123", "conv-001")

# "Get State" of contract dapr-state-chat.md, word for word.
CONTRACT = """{
  "conversation_id": "conv-001",
  "user_id": "user-abc123",
  "created_at": "2025-12-25T10:00:00Z",
  "updated_at": "2025-12-25T10:15:00Z",
  "messages": [
    {
      "role": "user",
      "content": "Add task: Buy groceries",
      "timestamp": "2025-12-25T10:00:00Z",
      "tool_calls": null
    },
    {
      "role": "assistant",
      "content": "I've added 'Buy groceries' to your task list.",
      "timestamp": "2025-12-25T10:00:02Z",
      "tool_calls": [
        {
          "tool": "add_task",
          "parameters": {"title": "Buy groceries"},
          "result": {"task_id": 42}
        }
      ]
    }
  ]
}"""


def _with(**changes: Any) -> bytes:
    return json.dumps(json.loads(CONTRACT) | changes).encode()


def _with_message(**changes: Any) -> bytes:
    message = json.loads(CONTRACT)["messages"][1] | changes
    return _with(messages=[message])


def test_contract__its_example_comes_out_as_it_went_in() -> None:
    state = decode(CONTRACT.encode(), KEY)
    assert state.messages[1].tool_calls == [
        ToolCallInfo(tool="add_task", parameters={"title": "Buy groceries"}, result={"task_id": 42})
    ]
    assert json.loads(encode(state)) == json.loads(CONTRACT)


def test_contract__a_turn_id_is_all_that_we_add() -> None:
    message = json.loads(encode(conversation(KEY)))["messages"][0]
    assert set(message) == {"role", "content", "timestamp", "tool_calls", "turn_id"}


def test_contract__unknown_fields_of_another_writer_are_kept() -> None:
    raw = _with(title="Groceries", messages=[json.loads(CONTRACT)["messages"][0] | {"x": [1]}])
    assert json.loads(encode(decode(raw, KEY))) == json.loads(raw)


def test_encode__is_compact_utf_8() -> None:
    raw = encode(conversation(KEY, text="ä🍦"))
    assert "ä🍦".encode() in raw
    assert b": " not in raw


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-12-25T10:00:00Z", MORNING),
        ("2025-12-25T10:00:00.5Z", MORNING + timedelta(seconds=0.5)),
        ("2025-12-25T10:00:00.123456789Z", MORNING + timedelta(microseconds=123456)),
        ("2025-12-25T15:30:00+05:30", MORNING),
        ("2025-12-25T10:00:00+00:00", MORNING),
        ("2025-12-25T10:00:00", MORNING),
        ("2025-12-25T10:00:00.123456", MORNING + timedelta(microseconds=123456)),
        ("2025-12-25 10:00:00Z", MORNING),
        ("2025-12-25 10:00:00", MORNING),
        ("2025-12-25t10:00:00z", MORNING),
        ("2025-12-25T10:00:00+0000", MORNING),
        ("2025-12-25T11:00+0100", MORNING),
        ("2025-12-25", MORNING - timedelta(hours=10)),
        ("1766656800", MORNING),
        (1766656800, MORNING),
        (1766656800.5, MORNING + timedelta(seconds=0.5)),
        (1766656800000, MORNING),
    ],
)
def test_timestamp__what_the_contracts_datetime_reads(text: object, moment: datetime) -> None:
    state = decode(_with(created_at=text), KEY)
    assert state.created_at == moment
    written = json.loads(encode(state))["created_at"]
    assert written.endswith("Z")
    assert datetime.fromisoformat(written) == moment


@pytest.mark.parametrize(
    "value",
    [
        "25.12.2025",
        "20251225T100000Z",
        "2025-13-01T10:00:00Z",
        "2025-12-25T10:00:61Z",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00+05:00",
        -1,
        10**30,
        True,
        [],
        None,
        "",
    ],
)
def test_timestamp__anything_else(value: object) -> None:
    with pytest.raises(InvalidConversation) as caught:
        decode(_with(created_at=value), KEY)
    assert caught.value.reason.startswith("created_at: ")


def test_timestamp__is_written_in_utc_with_z() -> None:
    moment = datetime(2025, 12, 25, 15, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    raw = json.loads(encode(new_conversation(KEY, moment)))
    assert raw["created_at"] == "2025-12-25T10:00:00Z"
    with pytest.raises(ValidationError):
        new_conversation(KEY, datetime(2025, 12, 25))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"text"',
        CONTRACT.encode()[:-1],
        CONTRACT.encode() + b"x",
        CONTRACT.encode("utf-16"),
        b"\xef\xbb\xbf" + CONTRACT.encode(),
        CONTRACT.encode().replace(b"groceries", b"gr\xf6ceries"),
        CONTRACT.encode().replace(b"groceries", b"\\ud800"),
        CONTRACT.encode().replace(b"groceries", b"\\u0000"),
        CONTRACT.encode().replace(b"groceries", b"\\u001b[2J"),
        CONTRACT.encode().replace(b"groceries", b"a\nb"),
        CONTRACT.encode().replace(b"42", b"NaN"),
        CONTRACT.encode().replace(b"42", b"-Infinity"),
        CONTRACT.encode().replace(b"42", b"1e999"),
        CONTRACT.encode().replace(b"42", b"9" * 1000),
        CONTRACT.encode().replace(b"42", b"9" * 10_000),
        CONTRACT.encode().replace(b"42", b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)),
        CONTRACT.encode().replace(b"42", b"[" * 100_000 + b"]" * 100_000),
        _with(messages=None),
        _with(messages={}),
        _with(messages=[None]),
        _with(messages=[{}]),
        _with(conversation_id=1),
        _with(user_id=1),
        _with(user_id=""),
        _with(user_id="user-xyz789"),
        _with(conversation_id="conv-002"),
        _with(**{"extra\u0000": 1}),
        _with_message(role="system"),
        _with_message(role="User"),
        _with_message(content=None),
        _with_message(content=1),
        _with_message(tool_calls={}),
        _with_message(tool_calls=[{"tool": "t", "parameters": {}}]),
        _with_message(tool_calls=[{"tool": "t", "parameters": [], "result": {}}]),
        _with_message(tool_calls=[{"tool": "t", "parameters": {}, "result": "done"}]),
        _with_message(turn_id=7),
        _with_message(turn_id="\u0007"),
    ],
)
def test_decode__corrupt(raw: bytes) -> None:
    with pytest.raises(InvalidConversation) as caught:
        decode(raw, KEY)
    assert caught.value.reason
    assert "\n" not in caught.value.reason
    assert "groceries" not in caught.value.reason


@pytest.mark.parametrize(
    "changes",
    [
        {"content": "\ud800"},
        {"content": "a\x00"},
        {"role": "system"},
        {"timestamp": datetime(2025, 12, 25)},
        {"tool_calls": [ToolCallInfo.model_construct(tool="t", parameters={}, result={"a": {1}})]},
        {"tool_calls": [ToolCallInfo.model_construct(tool="t", parameters={}, result={1: 2})]},
    ],
)
def test_encode__what_decode_would_refuse(changes: dict[str, Any]) -> None:
    state = conversation(KEY)
    message = state.messages[0].model_copy(update=changes)
    with pytest.raises(InvalidConversation):
        encode(state.model_copy(update={"messages": [message]}))


@given(content=TEXT, parameters=st.dictionaries(TEXT, JSON, max_size=4))
def test_round_trip__any_text_and_any_json(content: str, parameters: dict[str, Any]) -> None:
    call = ToolCallInfo(tool="t", parameters=parameters, result={})
    message = MessageEntry(role="assistant", content=content, timestamp=MORNING, tool_calls=[call])
    state = ConversationState(
        conversation_id="c", user_id="u", created_at=MORNING, updated_at=MORNING, messages=[message]
    )
    assert decode(encode(state), ConversationKey("u", "c")) == state


@given(raw=st.binary(max_size=60))
def test_decode__any_bytes_are_a_conversation_or_corrupt(raw: bytes) -> None:
    with pytest.raises(InvalidConversation):
        decode(raw, KEY)


def test_key__is_the_contract_s() -> None:
    assert str(KEY) == "chat:user-abc123:conv-001"


@pytest.mark.parametrize(
    ("user_id", "conversation_id"),
    [
        ("", "c"),
        ("u" * 256, "c"),
        ("u\x00", "c"),
        ("\ud800", "c"),
        ("u", ""),
        ("u", "-c"),
        ("u", "c:d"),
        ("u", "c" * 51),
        ("u", "ä"),
        ("u", "c\n"),
    ],
)
def test_key__of_nothing_that_could_be_another_s(user_id: str, conversation_id: str) -> None:
    with pytest.raises(ValueError):
        ConversationKey(user_id, conversation_id)
