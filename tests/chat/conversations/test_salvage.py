"""What can be read of a damaged document."""

import json

import pytest

from chat.conversations.salvage import FAILURES_MAX, salvage
from chat.conversations.state import InvalidConversation, decode, encode, new_conversation
from tests.chat.samples import MORNING, conversation, fresh_key

KEY = fresh_key()
WHOLE = conversation(KEY, turns=3)
EMPTY = new_conversation(KEY, MORNING)


def salvaged(raw: bytes):
    found = salvage(raw, EMPTY, KEY)
    decode(encode(found.state), KEY)  # it can be stored
    return found


def damaged(**fields: object) -> bytes:
    return json.dumps(json.loads(encode(WHOLE)) | fields).encode()


def test_cut_off__keeps_the_whole_messages():
    raw = encode(WHOLE)
    found = salvaged(raw[: raw.rindex(b"I've added") + 3])
    assert found.state.messages == WHOLE.messages[:5]
    assert len(found.lost) == 2


@pytest.mark.parametrize("damage", [b"\xff\xfe", b'"', b"\x00"])
def test_damage_in_the_middle__loses_that_message_alone(damage):
    raw = encode(WHOLE)
    at = raw.index(b"Hello", raw.index(b"turn-1") - 200)
    found = salvaged(raw[:at] + damage + raw[at:])
    assert len(found.state.messages) == 5
    assert found.lost


def test_message_of_another_form__is_left_out_and_named():
    entries = json.loads(encode(WHOLE))["messages"]
    entries[1]["role"] = "<robot>"
    del entries[2]["content"]
    found = salvaged(damaged(messages=entries))
    assert found.state.messages == [WHOLE.messages[0], *WHOLE.messages[3:]]
    assert [problem.partition(":")[0] for problem in found.lost] == ["Message 2", "Message 3"]
    assert "robot" not in str(found.lost)


def test_fields_of_the_document__are_kept_if_they_can_be_read():
    entries = [*json.loads(encode(WHOLE))["messages"], 7]
    kept = salvaged(damaged(messages=entries, theirs={"a": 1}, created_at="2024-01-01T00:00:00Z"))
    assert (kept.state.model_extra, kept.state.created_at.year) == ({"theirs": {"a": 1}}, 2024)
    made_new = salvaged(damaged(created_at="never"))
    assert made_new.state.created_at == EMPTY.created_at
    assert made_new.state.messages == WHOLE.messages


def test_another_conversation__is_refused():
    for name in ("user_id", "conversation_id"):
        for raw in (damaged(**{name: "other"}), damaged(**{name: "other"})[:-30]):
            with pytest.raises(InvalidConversation):
                salvage(raw, EMPTY, KEY)


@pytest.mark.parametrize("raw", [b"", b"[]", b"7", b"{}", b'{"messages": 7}', b"\xff", b"[" * 9999])
def test_nothing_to_keep__says_so(raw):
    found = salvaged(raw)
    assert found.state.messages == []
    assert found.lost


def test_search__ends():
    found = salvaged(b'{"role":' * 100_000)
    assert len(found.lost) == FAILURES_MAX + 1
