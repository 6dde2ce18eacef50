"""Turns on a real sidecar with faults: none is lost or doubled, and each answer comes in time."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from chat import repository
from chat.conversations.state import ConversationKey
from chat.deadline import Deadline
from chat.models import Conversation, Quarantine, Turn
from chat.repair import quarantine
from chat.turns.deletion import delete_conversation
from tests.chat.drive import ALICE, ask, asked_in_time, contents, document, flushed
from tests.chat.repair.test_corrupt import CORRUPT
from tests.sidecar import stores
from tests.sidecar.daprd import Sidecar
from tests.sidecar.fault_proxy import FaultProxy

pytestmark = pytest.mark.django_db(transaction=True)

TURN_SECONDS = 3.0
KEY = ConversationKey(ALICE, "c1")


@pytest.fixture(autouse=True)
def proxy(sidecar: Sidecar, settings) -> Iterator[FaultProxy]:
    """The service before a proxy before a real sidecar."""
    with FaultProxy(sidecar.url) as proxy:
        settings.CHAT_STATE_STORE = "dapr"
        settings.DAPR_ENDPOINT = proxy.url
        settings.CHAT_TURN_SECONDS = TURN_SECONDS
        settings.CHAT_STORE_TIMEOUT_SECONDS = 0.7
        settings.CHAT_STORE_PAUSE_SECONDS = 0.05
        yield proxy
    repository.forget_repositories()


def test_turn__on_a_healthy_sidecar(proxy):
    assert not asked_in_time("one").degraded
    assert (proxy.count("GET"), proxy.count("POST")) == (1, 1)
    assert not asked_in_time("two").degraded
    assert contents() == ["one", "two"]


@pytest.mark.parametrize(
    "fault",
    [
        "false-conflict",
        "conflict",
        "error-after-write",
        "error",
        "cut-after-write",
        "cut-before-write",
        "delay-after-write",
    ],
)
def test_one_save_that_goes_wrong__is_not_seen(proxy, fault):
    asked_in_time("one")
    proxy.fail(fault, method="POST", seconds=5)
    assert not asked_in_time("two").degraded
    assert contents() == ["one", "two"]


@pytest.mark.parametrize("fault", ["error", "html", "cut-in-body", "drip", "drip-headers", "delay"])
def test_reads_that_go_wrong__are_degraded_and_stored_later(proxy, fault):
    asked_in_time("one")
    proxy.fail(fault, times=None, seconds=0.4 if fault != "delay" else 20)
    for message in ("two", "three"):
        assert asked_in_time(message).degraded
    proxy.clear()
    flushed()
    assert contents() == ["one", "two", "three"]


def test_garbage__is_corrupt_and_never_overwritten(proxy):
    asked_in_time("one")
    proxy.fail("garbage", method="GET")
    assert asked_in_time("two").degraded
    assert Quarantine.objects.count() == 1
    assert not asked_in_time("three").degraded
    assert contents() == ["one", "two", "three"]
    assert not Conversation.objects.get().corrupt
    assert Quarantine.objects.get().resolved_at is not None


def test_refused_content__is_set_aside(proxy):
    proxy.fail("refuse", method="POST")
    assert asked_in_time("poison").degraded
    assert not asked_in_time("fine").degraded
    assert contents() == ["fine"]
    assert Turn.objects.get(message="poison").state == Turn.State.DEAD_LETTER


def test_sidecar_frozen__then_thawed(proxy, sidecar):
    asked_in_time("one")
    sidecar.freeze()
    for message in ("two", "three"):
        assert asked_in_time(message).degraded
    sidecar.thaw()
    flushed()
    assert contents() == ["one", "two", "three"]


def test_sidecar_killed__then_back(sidecar):
    asked_in_time("one")
    sidecar.kill()
    for message in ("two", "three"):
        assert asked_in_time(message).degraded
    sidecar.start()
    flushed()
    assert contents() == ["one", "two", "three"]


def test_sidecar_killed__between_write_and_answer(proxy, sidecar):
    asked_in_time("one")
    proxy.fail("cut-after-write", method="POST", then=sidecar.kill)
    assert asked_in_time("two").degraded
    sidecar.start()
    flushed()
    assert contents() == ["one", "two"]


def test_sidecar_back__with_an_empty_store(sidecar, daprd: Path, tmp_path, settings):
    asked_in_time("one")
    sidecar.kill()
    assert asked_in_time("two").degraded
    other = Sidecar(daprd, tmp_path / "other", stores.make_store("in-memory", tmp_path).component)
    other.start()
    try:
        settings.DAPR_ENDPOINT = other.url
        flushed()
        assert contents() == ["two"]
    finally:
        other.kill()


def test_sixteen_writers__on_one_document(proxy):
    """Writers of another program, by compare-and-swap, beside a turn of ours."""
    asked_in_time("ours first")
    store = repository.conversation_repository()

    def append(number: int) -> None:
        from chat.conversations.history import put_turn
        from chat.errors import StoreConflict

        for _ in range(200):
            stored = store.get(KEY, time.monotonic() + 5)
            message = stored.state.messages[0].model_copy(update={"content": f"w{number}"})
            state = put_turn(stored.state, f"w{number}", [message], stored.state.updated_at)
            try:
                return store.save(state, stored.etag, 600, time.monotonic() + 5)
            except StoreConflict:
                time.sleep(0.002 * number)
        raise AssertionError("never stored")

    with ThreadPoolExecutor(16) as pool:
        writers = [pool.submit(append, number) for number in range(16)]
        assert not asked_in_time("ours, too").degraded
        for writer in writers:
            writer.result(30)
    assert sorted(contents()) == sorted(["ours first", "ours, too", *(f"w{n}" for n in range(16))])


def test_delete__sticks_on_a_sidecar(proxy):
    asked_in_time("one")
    proxy.fail("none", method="POST", then=lambda: delete_conversation(KEY, Deadline(5)))
    with pytest.raises(Exception, match="deleted"):
        ask("two")
    assert document().messages == []
    assert not Turn.objects.exists()


def test_delete__while_the_sidecar_is_away(sidecar):
    asked_in_time("one")
    sidecar.kill()
    assert delete_conversation(KEY, Deadline(3)) is False
    sidecar.start()
    flushed()
    assert document().messages == []


def _is_json(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return raw != b"null"


@pytest.mark.parametrize("name", [name for name, raw in CORRUPT.items() if _is_json(raw)])
def test_corrupt__is_left_as_it_is(sidecar, name):
    asked_in_time("one")
    url = f"{sidecar.url}/v1.0/state/statestore"
    key = f"{url}/chat%3Aalice%3Ac1"
    etag = requests.get(key, timeout=5).headers["ETag"]
    item = {"key": "chat:alice:c1", "value": json.loads(CORRUPT[name]), "etag": etag}
    assert requests.post(url, json=[item], timeout=5).status_code == 204
    before = requests.get(key, timeout=5).content
    assert asked_in_time("two").degraded
    assert requests.get(key, timeout=5).content == before
    assert Turn.objects.get(message="two").state == Turn.State.ANSWERED


@pytest.mark.parametrize("fault", ["false-conflict", "error-after-write", "cut-after-write"])
def test_corrupt__discarded_with_an_answer_that_misleads(proxy, fault):
    asked_in_time("one")
    proxy.fail("garbage", method="GET", times=2)  # for the turn, and for the operator
    assert asked_in_time("two").degraded
    proxy.fail(fault, method="POST")
    quarantine.discard(KEY, Deadline(5))
    flushed()
    assert contents() == ["two"]
    assert not Conversation.objects.get().corrupt
    assert Quarantine.objects.get().resolved_at is not None
