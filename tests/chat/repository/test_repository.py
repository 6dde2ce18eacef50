"""The contract of a conversation repository, on every backend: real stores, a real sidecar."""

import json
import re
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from chat.conversations.history import has_turn, put_turn, split_turns
from chat.conversations.state import ConversationKey, encode
from chat.errors import (
    StoreConflict,
    StoreCorrupt,
    StoreError,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
)
from tests.chat.conftest import MAX_STATE_BYTES, Backend
from tests.chat.samples import MORNING, conversation, fresh_key, soon, turn
from tests.servers import wait_until

TTL = 2_592_000


def test_get__nothing_is_stored(backend: Backend) -> None:
    with pytest.raises(StoreMissing):
        backend.repository.get(fresh_key(), soon())


def test_save__a_new_conversation(backend: Backend) -> None:
    key = fresh_key()
    state = conversation(key, turns=3, text="Häagen-Dazs 🍦 <b>&\u2028\n\t\"'\\ عربي")
    backend.repository.save(state, None, TTL, soon())
    stored = backend.repository.get(key, soon())
    assert stored.state == state
    assert stored.etag


def test_save__without_etag_over_one_that_exists(backend: Backend) -> None:
    key = fresh_key()
    backend.repository.save(conversation(key, 2), None, TTL, soon())
    with pytest.raises((StoreConflict, StoreUnavailable)) as caught:
        backend.repository.save(conversation(key, 1), None, TTL, soon())
    if isinstance(caught.value, StoreUnavailable):
        assert not caught.value.is_outage
    assert backend.repository.get(key, soon()).state == conversation(key, 2)


def test_save__with_the_etag_that_stands(backend: Backend) -> None:
    key = fresh_key()
    backend.repository.save(conversation(key, 1), None, TTL, soon())
    first = backend.repository.get(key, soon())
    backend.repository.save(conversation(key, 2), first.etag, TTL, soon())
    second = backend.repository.get(key, soon())
    assert second.state == conversation(key, 2)
    assert second.etag != first.etag


def test_save__with_a_stale_etag(backend: Backend) -> None:
    key = fresh_key()
    backend.repository.save(conversation(key, 1), None, TTL, soon())
    stale = backend.repository.get(key, soon()).etag
    backend.repository.save(conversation(key, 2), stale, TTL, soon())
    with pytest.raises(StoreConflict):
        backend.repository.save(conversation(key, 3), stale, TTL, soon())
    assert backend.repository.get(key, soon()).state == conversation(key, 2)


def test_save__with_the_etag_of_one_that_was_deleted(backend: Backend) -> None:
    key = fresh_key()
    backend.repository.save(conversation(key, 1), None, TTL, soon())
    etag = backend.repository.get(key, soon()).etag
    backend.repository.delete(key, etag, soon())
    if backend.name == "dapr-redis":
        # Dapr's Redis component recreates it: why we delete by an emptied document (design).
        backend.repository.save(conversation(key, 2), etag, TTL, soon())
        assert backend.repository.get(key, soon()).state == conversation(key, 2)
        return
    with pytest.raises(StoreConflict):
        backend.repository.save(conversation(key, 2), etag, TTL, soon())
    with pytest.raises(StoreMissing):
        backend.repository.get(key, soon())


def test_save__many_times_in_one_discipline(backend: Backend) -> None:
    key = fresh_key()
    backend.repository.save(conversation(key, 0), None, TTL, soon())
    for turns in range(1, 6):
        etag = backend.repository.get(key, soon()).etag
        backend.repository.save(conversation(key, turns), etag, TTL, soon())
    assert backend.repository.get(key, soon()).state == conversation(key, 5)


def test_save__expires_after_its_ttl(backend: Backend) -> None:
    key = fresh_key()
    backend.repository.save(conversation(key), None, 1, soon())

    def is_gone() -> bool:
        try:
            backend.repository.get(key, soon())
        except StoreMissing:
            return True
        return False

    wait_until(is_gone, seconds=10, what="the expiry")
    backend.repository.save(conversation(key, 2), None, TTL, soon())
    assert backend.repository.get(key, soon()).state == conversation(key, 2)


def test_save__renews_the_ttl(backend: Backend) -> None:
    key = fresh_key()
    backend.repository.save(conversation(key), None, 2, soon())
    began = time.monotonic()
    etag = backend.repository.get(key, soon()).etag
    backend.repository.save(conversation(key, 2), etag, 1000, soon())
    expires_at = backend.repository.get(key, soon()).expires_at
    if backend.name == "dapr-redis":  # which does not tell
        assert expires_at is None
        wait_until(lambda: time.monotonic() > began + 2.5)
        assert backend.repository.get(key, soon()).state == conversation(key, 2)
    else:
        assert expires_at is not None
        assert abs(expires_at - datetime.now(UTC) - timedelta(seconds=1000)) < timedelta(seconds=10)


def test_save__over_the_limit(backend: Backend) -> None:
    key = fresh_key()
    with pytest.raises(StoreRefused):
        backend.repository.save(conversation(key, 101, "x" * 20_000), None, TTL, soon())
    with pytest.raises(StoreMissing):
        backend.repository.get(key, soon())


@pytest.mark.parametrize("text", ["\u00e9\U0001f366", "<", '"'])
def test_save__as_large_as_may_be(backend: Backend, text: str) -> None:
    key = fresh_key()
    room_per_turn = (MAX_STATE_BYTES - 10_000) // 100
    # Each turn holds the text twice: as the message, and as the parameter of a tool.
    count = (room_per_turn // 2 - 300) // (len(json.dumps(text, ensure_ascii=False).encode()) - 2)
    state = conversation(key, 100, text * count)
    assert MAX_STATE_BYTES * 0.9 < len(encode(state)) <= MAX_STATE_BYTES
    backend.repository.save(state, None, TTL, soon())
    assert backend.repository.get(key, soon()).state == state


def test_save__what_is_no_conversation(backend: Backend) -> None:
    key = fresh_key()
    state = conversation(key)
    broken = state.messages[0].model_copy(update={"content": "half a pair: \ud83c"})
    with pytest.raises(StoreRefused):
        backend.repository.save(state.model_copy(update={"messages": [broken]}), None, TTL, soon())
    with pytest.raises(StoreMissing):
        backend.repository.get(key, soon())


def test_delete__with_the_etag_that_stands(backend: Backend) -> None:
    key = fresh_key()
    backend.repository.save(conversation(key), None, TTL, soon())
    backend.repository.delete(key, backend.repository.get(key, soon()).etag, soon())
    with pytest.raises(StoreMissing):
        backend.repository.get(key, soon())


def test_delete__with_a_stale_etag(backend: Backend) -> None:
    key = fresh_key()
    backend.repository.save(conversation(key, 1), None, TTL, soon())
    stale = backend.repository.get(key, soon()).etag
    backend.repository.save(conversation(key, 2), stale, TTL, soon())
    with pytest.raises(StoreConflict):
        backend.repository.delete(key, stale, soon())
    assert backend.repository.get(key, soon()).state == conversation(key, 2)


def test_delete__what_is_gone_already(backend: Backend) -> None:
    key = fresh_key()
    backend.repository.save(conversation(key), None, TTL, soon())
    etag = backend.repository.get(key, soon()).etag
    backend.repository.delete(key, etag, soon())
    try:
        backend.repository.delete(key, etag, soon())
    except StoreConflict:
        assert backend.name not in {"redis", "dapr-redis"}
    with pytest.raises(StoreMissing):
        backend.repository.get(key, soon())


def test_compare_and_swap__sixteen_writers_lose_nothing(backend: Backend) -> None:
    key = fresh_key()
    failures: list[BaseException] = []

    def append(number: int) -> None:
        try:
            _append_turn(backend, key, number)
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=append, args=(number,)) for number in range(16)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    turns = split_turns(backend.repository.get(key, soon()).state.messages)
    assert [one[0].turn_id for one in turns] == [f"turn-{number}" for number in range(16)]


def _append_turn(backend: Backend, key: ConversationKey, number: int) -> None:
    turn_id = f"turn-{number}"
    for _ in range(200):
        try:
            stored = backend.repository.get(key, soon())
            state, etag = stored.state, stored.etag
        except StoreMissing:
            state, etag = conversation(key, 0), None
        if has_turn(state, turn_id):
            return
        try:
            backend.repository.save(
                put_turn(state, turn_id, turn(number), MORNING), etag, TTL, soon()
            )
        except (StoreConflict, StoreUnavailable) as error:
            assert not getattr(error, "is_outage", False), error
    raise AssertionError(f"{turn_id} never got through")


def test_deadline__has_come_already(backend: Backend) -> None:
    key = fresh_key()
    for call in (
        lambda: backend.repository.get(key, time.monotonic()),
        lambda: backend.repository.save(conversation(key), None, TTL, time.monotonic()),
        lambda: backend.repository.delete(key, "1", time.monotonic()),
        lambda: backend.repository.check(time.monotonic()),
    ):
        with pytest.raises(StoreUnavailable) as caught:
            call()
        assert not caught.value.is_outage
    with pytest.raises(StoreMissing):
        backend.repository.get(key, soon())


def test_check__names_the_store(backend: Backend) -> None:
    info = backend.repository.check(soon())
    assert info.lacks == ()
    if backend.name == "redis":
        assert info.backend == "redis"
    else:
        assert info.backend == "dapr"
        component = f"statestore: state.{backend.name.removeprefix('dapr-')}"
        assert re.fullmatch(rf"{component}/v[0-9]+, runtime \S+", info.description)


def test_exceptions__all_are_store_errors() -> None:
    kinds = (StoreMissing, StoreUnavailable, StoreConflict, StoreRefused, StoreCorrupt)
    assert all(issubclass(kind, StoreError) for kind in kinds)
    assert len({kind.code for kind in kinds}) == len(kinds)
