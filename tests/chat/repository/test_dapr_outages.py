"""A sidecar that is away, frozen, restarted or set up wrongly, or whose store is dead."""

import threading
import time
from pathlib import Path

import pytest
import requests

from chat.conversations.history import put_turn
from chat.conversations.state import ConversationKey, encode
from chat.errors import (
    StoreConflict,
    StoreMissing,
    StoreUnavailable,
)
from chat.repository.dapr import DaprRepository
from chat.repository.transport import Transport
from tests.chat.conftest import (
    SLACK_SECONDS,
    TIMEOUT_SECONDS,
    dapr_repository,
    impatient_repository,
)
from tests.chat.samples import MORNING, conversation, fresh_key, soon, turn
from tests.servers import free_port, wait_until
from tests.sidecar.daprd import Sidecar
from tests.sidecar.stores import RedisStore

TTL = 2_592_000


def _seconds(began: float) -> float:
    return time.monotonic() - began


def test_sidecar__refuses_connections() -> None:
    repository = impatient_repository(f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        repository.get(fresh_key(), soon())
    with pytest.raises(StoreUnavailable):
        repository.save(conversation(fresh_key()), None, TTL, soon())
    assert _seconds(began) < SLACK_SECONDS


def test_sidecar__frozen_and_thawed(sidecar: Sidecar) -> None:
    repository = impatient_repository(sidecar.url)
    key = fresh_key()
    repository.save(conversation(key), None, TTL, soon())
    etag = repository.get(key, soon()).etag
    sidecar.freeze()
    for call in (
        lambda: repository.get(key, soon()),
        lambda: repository.save(conversation(key, 2), etag, TTL, soon()),
        lambda: repository.delete(key, etag, soon()),
    ):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            call()
        assert _seconds(began) < TIMEOUT_SECONDS + SLACK_SECONDS
    sidecar.thaw()
    repository.check(soon())


def test_sidecar__a_frozen_one_does_not_take_a_large_body(sidecar: Sidecar) -> None:
    repository = impatient_repository(sidecar.url)
    key = fresh_key()
    repository.save(conversation(key), None, TTL, soon())
    etag = repository.get(key, soon()).etag
    sidecar.freeze()
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        repository.save(conversation(key, 100, "x" * 14_000), etag, TTL, soon())
    assert _seconds(began) < TIMEOUT_SECONDS + SLACK_SECONDS


def test_sidecar__restarted(sidecar: Sidecar) -> None:
    repository = impatient_repository(sidecar.url)
    key = fresh_key()
    repository.save(conversation(key), None, TTL, soon())
    repository.get(key, soon())
    sidecar.kill()
    with pytest.raises(StoreUnavailable):
        repository.get(key, soon())
    sidecar.start()
    assert repository.get(key, soon()).state == conversation(key)


def test_sidecar__without_the_store(sidecar: Sidecar) -> None:
    repository = dapr_repository(sidecar.url, store_name="another")
    for call in (
        lambda: repository.get(fresh_key(), soon()),
        lambda: repository.save(conversation(fresh_key()), None, TTL, soon()),
        lambda: repository.check(soon()),
    ):
        with pytest.raises(StoreUnavailable):  # not StoreRefused: an operator can mend it
            call()


def test_sidecar__asks_for_a_token(daprd: Path, tmp_path: Path, sidecar: Sidecar) -> None:
    component = (tmp_path / "sidecar" / "components" / "statestore.yaml").read_text()
    guarded = Sidecar(daprd, tmp_path / "guarded", component, api_token="let me in").start()
    try:
        with pytest.raises(StoreUnavailable):
            dapr_repository(guarded.url).get(fresh_key(), soon())
        with pytest.raises(StoreUnavailable):
            dapr_repository(guarded.url, api_token="wrong").get(fresh_key(), soon())
        with pytest.raises(StoreMissing):
            dapr_repository(guarded.url, api_token="let me in").get(fresh_key(), soon())
    finally:
        guarded.kill()


def test_environment__proxies_are_none_of_our_business(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StoreMissing):
        impatient_repository(sidecar.url).get(fresh_key(), soon())


def test_connections__are_kept_and_shared_by_threads(sidecar: Sidecar) -> None:
    repository = dapr_repository(sidecar.url)
    key = fresh_key()
    repository.save(conversation(key), None, TTL, soon())
    barrier = threading.Barrier(8)
    results: list[object] = []

    def read() -> None:
        barrier.wait(10)
        for _ in range(20):
            results.append(repository.get(key, soon()).state)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [conversation(key)] * 160


def test_store__dead_behind_a_healthy_sidecar(daprd: Path, tmp_path: Path) -> None:
    store = RedisStore(tmp_path, durable=True)
    store.start()
    sidecar = Sidecar(daprd, tmp_path / "sidecar", store.component).start()
    try:
        repository = impatient_repository(sidecar.url)
        key = fresh_key()
        repository.save(conversation(key), None, TTL, soon())
        etag = repository.get(key, soon()).etag
        store.stop()
        assert requests.get(f"{sidecar.url}/v1.0/healthz", timeout=5).status_code == 204
        with pytest.raises(StoreUnavailable):
            repository.get(key, soon())
        with pytest.raises(StoreUnavailable):
            repository.check(soon())
        began = time.monotonic()
        with pytest.raises((StoreConflict, StoreUnavailable)):  # Dapr's Redis may say 409
            repository.save(conversation(key, 2), etag, TTL, soon())
        assert _seconds(began) < TIMEOUT_SECONDS + SLACK_SECONDS
        store.start()
        wait_until(lambda: _answers(repository, key), what="an answer of the store")
        # Dapr may have tried again by itself meanwhile: after no answer either is possible.
        assert repository.get(key, soon()).state in (conversation(key), conversation(key, 2))
    finally:
        sidecar.kill()
        store.stop()


def _answers(repository: DaprRepository, key: ConversationKey) -> bool:
    try:
        repository.get(key, soon())
    except StoreUnavailable:
        return False
    return True


def test_sidecar__takes_as_much_as_the_setting_allows(sidecar: Sidecar) -> None:
    largest = 4_100_000  # CHAT_MAX_STATE_BYTES at most
    repository = DaprRepository(Transport(sidecar.url, "", 2, 10), "statestore", largest)
    key = fresh_key("🍦" * 255)
    state = conversation(key, 100, "x" * 20_150)
    state = put_turn(
        state, "last", turn(100, "", "x" * (largest - len(encode(state)) - 600)), MORNING
    )
    assert largest - 500 < len(encode(state)) <= largest
    repository.save(state, None, TTL, soon())
    assert repository.get(key, soon()).state == state
