"""Documents that are no conversations: left as they are, and everything goes on."""

import base64
import json

import pytest

from chat.conversations.state import ConversationKey, decode
from chat.deadline import Deadline
from chat.errors import StoreConflict, StoreCorrupt
from chat.models import Conversation, Quarantine, Turn
from chat.repair import quarantine
from chat.turns import flush, open_conversation
from chat.turns.deletion import delete_conversation
from tests.chat.calls import Api
from tests.chat.drive import ALICE, ask, contents, document

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("chat_store")]
KEY = ConversationKey(ALICE, "c1")

GOOD = {
    "conversation_id": "c1",
    "user_id": ALICE,
    "created_at": "2025-12-25T10:00:00Z",
    "updated_at": "2025-12-25T10:00:00Z",
    "messages": [],
}
CORRUPT = {
    "no JSON": b'{"conversation_id": "c1", "mess',
    "no UTF-8": b'{"conversation_id": "\xff"}',
    "null": b"null",
    "a list": b"[]",
    "a field is missing": json.dumps({**GOOD, "messages": ...}, default=lambda _: None).encode(),
    "another user's": json.dumps({**GOOD, "user_id": "bob"}).encode(),
    "a bad role": json.dumps(
        {
            **GOOD,
            "messages": [{"role": "system", "content": "x", "timestamp": "2025-12-25T10:00:00Z"}],
        }
    ).encode(),
    "a bad time": json.dumps({**GOOD, "created_at": "yesterday"}).encode(),
    "too deep": b'{"messages":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "empty": b"",
}


@pytest.fixture(params=CORRUPT)
def corrupt(request, chat_store) -> bytes:
    """The bytes, in the store."""
    chat_store.put_raw(CORRUPT[request.param])
    return CORRUPT[request.param]


def test_corrupt__is_answered_degraded_and_left_as_it_is(corrupt, chat_store):
    answer = Api().chat("add milk", "c1")
    assert answer.status_code == 200
    assert answer["X-Chat-Degraded"] == "true"
    assert chat_store.get_raw() == corrupt
    assert base64.b64decode(Quarantine.objects.get().content_base64) == corrupt
    assert Turn.objects.get().state == Turn.State.ANSWERED
    assert Conversation.objects.get().corrupt


def test_corrupt__is_kept_once_however_often_it_is_met(corrupt):
    for _ in range(3):
        ask("hello")
    assert Quarantine.objects.count() == 1


def test_corrupt__of_many_versions_the_newest_are_kept(chat_store, monkeypatch):
    monkeypatch.setattr(open_conversation, "COPIES_MAX", 3)
    for n in range(5):
        chat_store.put_raw(f"version {n}".encode())
        ask("hello")
    kept = [base64.b64decode(copy.content_base64)[-1:] for copy in Quarantine.objects.all()]
    assert kept == [b"4", b"3", b"2"]


def test_corrupt__read_before_a_deletion_and_met_after_it():
    ask("hello")
    delete_conversation(KEY, Deadline(5))
    open_conversation.keep_copy(KEY, StoreCorrupt(b"old", "1", "old"))
    assert not Quarantine.objects.exists()
    assert not Conversation.objects.get().corrupt


def test_corrupt__restored(corrupt):
    ask("add milk")
    edited = {
        **GOOD,
        "messages": [{"role": "user", "content": "old", "timestamp": "2025-12-25T10:00:00Z"}],
    }
    quarantine.restore(KEY, decode(json.dumps(edited).encode(), KEY), Deadline(5))
    assert contents() == ["old", "add milk"]
    assert Turn.objects.get().state == Turn.State.STORED
    assert Quarantine.objects.get().resolved_at is not None
    assert not Conversation.objects.get().corrupt


def test_corrupt__discarded(corrupt):
    ask("add milk")
    quarantine.discard(KEY, Deadline(5))
    assert contents() == ["add milk"]
    assert not ask("hello").degraded


def test_corrupt__deleted_by_its_user(corrupt):
    ask("add milk")
    assert delete_conversation(KEY, Deadline(5))
    assert document().messages == []
    assert not Quarantine.objects.exists()
    ask("anew")
    assert contents() == ["anew"]


def test_corrupt__flush_leaves_it_waiting(corrupt, chat_store):
    ask("add milk")
    held = []
    assert flush.flush_all(on_corrupt=held.append) == (0, 0)
    assert held == [KEY]
    assert Turn.objects.waiting().exists()
    assert chat_store.get_raw() == corrupt


def test_corrupt__reading_shows_what_the_rows_hold(corrupt):
    api = Api()
    api.chat("add milk", "c1")
    answer = api.call("get", api.path("c1", "/messages"))
    assert answer["X-Chat-Degraded"] == "true"
    assert next((m["content"], m["status"]) for m in answer.json()["messages"]) == (
        "add milk",
        "waiting",
    )


def test_not_corrupt__is_not_restored_over():
    ask("hello")
    with pytest.raises(StoreConflict):
        quarantine.discard(KEY, Deadline(5))
    assert contents() == ["hello"]
