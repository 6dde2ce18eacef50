"""Turns while the store behind a healthy sidecar is away, and when it comes back with less."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from chat.conversations.state import ConversationKey
from chat.deadline import Deadline
from chat.models import Conversation, Turn
from chat.repository import forget_repositories
from chat.turns import transcript
from chat.turns.deletion import delete_conversation
from chat.turns.flush import flush_all
from tests.chat.drive import ALICE, ask, asked_in_time, contents, document, flushed, hooked
from tests.sidecar.daprd import Sidecar
from tests.sidecar.stores import RedisStore

pytestmark = pytest.mark.django_db(transaction=True)

KEY = ConversationKey(ALICE, "c1")
AWAY = {"killed": ("kill", "start"), "frozen": ("freeze", "thaw")}


@pytest.fixture(autouse=True)
def store(daprd: Path, tmp_path: Path, settings) -> Iterator[RedisStore]:
    """The Redis behind the sidecar that the service is set to."""
    store = RedisStore(tmp_path, durable=True)
    store.start()
    sidecar = Sidecar(daprd, tmp_path / "sidecar", store.component).start()
    settings.CHAT_STATE_STORE = "dapr"
    settings.DAPR_ENDPOINT = sidecar.url
    settings.CHAT_TURN_SECONDS = 3.0
    settings.CHAT_STORE_TIMEOUT_SECONDS = 0.7
    settings.CHAT_STORE_PAUSE_SECONDS = 0.05
    yield store
    forget_repositories()
    sidecar.kill()
    store.kill()


@pytest.fixture(params=AWAY)
def away(request, store):
    """How the store goes away, and how it comes back."""
    return tuple(getattr(store, name) for name in AWAY[request.param])


def check_index() -> None:
    """The index says what the store holds, and every turn is stored."""
    assert Conversation.objects.get().message_count == len(document().messages)
    assert set(Turn.objects.values_list("state", flat=True)) == {Turn.State.STORED}


def test_store_away__turns_wait_and_are_stored_in_order(away):
    go, come_back = away
    assert not asked_in_time("one").degraded
    go()
    for message in ("two", "three"):
        assert asked_in_time(message).degraded
    come_back()
    flushed()
    assert contents() == ["one", "two", "three"]
    check_index()


def test_store_away__between_the_read_and_the_save(away, monkeypatch):
    go, come_back = away
    asked_in_time("one")
    with hooked(monkeypatch) as repository:
        repository.before["save"] = [go]
        assert asked_in_time("two").degraded
    come_back()  # and the sidecar may try its own save again
    flushed()
    assert not asked_in_time("three").degraded
    assert contents() == ["one", "two", "three"]
    check_index()


def test_store_away__a_new_conversation_between_the_read_and_the_save(away, monkeypatch):
    go, come_back = away
    with hooked(monkeypatch) as repository:
        repository.before["save"] = [go]
        assert asked_in_time("one").degraded
    come_back()
    flushed()
    assert contents() == ["one"]
    check_index()


def test_store_away__a_deletion_is_carried_out_later(away):
    go, come_back = away
    asked_in_time("one")
    go()
    assert delete_conversation(KEY, Deadline(3)) is False
    assert asked_in_time("anew").degraded
    come_back()
    flushed()
    assert contents() == ["anew"]
    check_index()


def test_store_back_empty__what_waits_is_stored(store):
    first = ask("one", idempotency_key="k1")
    store.stop()
    assert asked_in_time("two").degraded
    store.restore(None)
    store.start()
    flushed()
    assert contents() == ["two"]
    check_index()
    assert ask("one", idempotency_key="k1").reply == first.reply
    assert not ask("three").degraded
    assert contents() == ["two", "three"]
    check_index()


def test_store_back_empty__nothing_waits(store):
    ask("one")
    store.stop()
    store.restore(None)
    store.start()
    assert not ask("two").degraded
    assert contents() == ["two"]
    check_index()


def test_store_back_older__what_waits_is_stored_and_the_index_follows(store, tmp_path):
    ask("one")
    store.keep_copy(tmp_path / "copy")
    second = ask("two", idempotency_key="k2")
    store.stop()
    assert asked_in_time("three").degraded
    store.restore(tmp_path / "copy")
    store.start()
    flushed()
    assert contents() == ["one", "three"]
    check_index()
    # What the store has lost is answered from its row, and not carried out a second time.
    repeated = ask("two", idempotency_key="k2")
    assert (repeated.id, repeated.reply) == (second.id, second.reply)
    assert not ask("four").degraded
    assert contents() == ["one", "three", "four"]
    check_index()


def test_store_back_older__reading_repairs_the_index(store, tmp_path):
    ask("one")
    store.keep_copy(tmp_path / "copy")
    ask("two")
    store.stop()
    store.restore(tmp_path / "copy")
    store.start()
    found = transcript.read(KEY, Deadline(3))
    assert [m.content for m in found.state.messages if m.role == "user"] == ["one"]
    check_index()


def test_store_back_older__a_deletion_sticks(store, tmp_path):
    ask("one")
    store.keep_copy(tmp_path / "copy")
    assert delete_conversation(KEY, Deadline(3))
    store.stop()
    store.restore(tmp_path / "copy")
    store.start()
    assert contents() == ["one"]  # so the store says
    assert transcript.read(KEY, Deadline(3)) is None
    assert not ask("anew").degraded
    assert contents() == ["anew"]
    check_index()


def test_keys_that_the_store_can_not_read__are_their_owners_trouble_alone(store, settings):
    settings.CHAT_STORE_PAUSE_SECONDS = 60
    broken = [f"b{n}" for n in range(6)]
    for conversation in broken:
        with redis.Redis(port=store.port) as client:
            client.rpush(f"chat||chat:{ALICE}:{conversation}", "of another program")
        assert asked_in_time("hello", conversation=conversation).degraded
    assert not asked_in_time("one").degraded
    Turn.objects.update(state=Turn.State.ANSWERED)
    assert flush_all() == (1, len(broken))
