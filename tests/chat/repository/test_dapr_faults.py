"""What a healthy sidecar never answers: each call ends in time, with the exception that fits."""

import json
import time
from collections.abc import Iterator

import pytest

from chat.errors import (
    StoreConflict,
    StoreCorrupt,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
)
from chat.repository import transport
from chat.repository.dapr import DaprRepository
from tests.chat.conftest import (
    SLACK_SECONDS,
    TIMEOUT_SECONDS,
    impatient_repository,
)
from tests.chat.samples import conversation, fresh_key, soon
from tests.sidecar.daprd import Sidecar
from tests.sidecar.fault_proxy import FaultProxy

TTL = 2_592_000


@pytest.fixture
def proxy(sidecar: Sidecar) -> Iterator[FaultProxy]:
    with FaultProxy(sidecar.url) as proxy:
        yield proxy


@pytest.fixture
def repository(proxy: FaultProxy) -> DaprRepository:
    return impatient_repository(proxy.url)


def _seconds(began: float) -> float:
    return time.monotonic() - began


def test_save__a_409_for_a_write_that_was_done(
    proxy: FaultProxy, repository: DaprRepository
) -> None:
    key = fresh_key()
    proxy.fail("false-conflict", method="POST")
    with pytest.raises(StoreConflict):
        repository.save(conversation(key), None, TTL, soon())
    assert repository.get(key, soon()).state == conversation(key)


@pytest.mark.parametrize("fault", ["error-after-write", "cut-after-write", "delay-after-write"])
def test_save__no_answer_to_a_write_that_was_done(
    proxy: FaultProxy, repository: DaprRepository, fault: str
) -> None:
    key = fresh_key()
    repository.save(conversation(key), None, TTL, soon())
    etag = repository.get(key, soon()).etag
    proxy.forget_requests()
    proxy.fail(fault, method="POST", seconds=60)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        repository.save(conversation(key, 2), etag, TTL, soon())
    assert _seconds(began) < TIMEOUT_SECONDS + SLACK_SECONDS
    # After an error the store is asked for something else: it answers, so it is no outage.
    assert caught.value.is_outage == (fault != "error-after-write")
    assert proxy.count("POST") == 1  # a write is never sent twice
    assert repository.get(key, soon()).state == conversation(key, 2)


@pytest.mark.parametrize("fault", ["error", "cut-before-write"])
def test_save__a_write_that_was_not_done(
    proxy: FaultProxy, repository: DaprRepository, fault: str
) -> None:
    key = fresh_key()
    proxy.fail(fault, method="POST")
    with pytest.raises(StoreUnavailable):
        repository.save(conversation(key), None, TTL, soon())
    with pytest.raises(StoreMissing):
        repository.get(key, soon())


def test_save__refused(proxy: FaultProxy, repository: DaprRepository) -> None:
    proxy.fail("refuse", method="POST")
    with pytest.raises(StoreRefused):
        repository.save(conversation(fresh_key()), None, TTL, soon())


def test_get__garbage_is_corrupt(proxy: FaultProxy, repository: DaprRepository) -> None:
    key = fresh_key()
    repository.save(conversation(key), None, TTL, soon())
    proxy.fail("garbage", method="GET", body=b'{"conversation_id": \xff')
    with pytest.raises(StoreCorrupt) as caught:
        repository.get(key, soon())
    assert caught.value.raw == b'{"conversation_id": \xff'
    assert caught.value.etag == repository.get(key, soon()).etag


@pytest.mark.parametrize(
    "fault", ["html", "error", "conflict", "cut-in-body", "drip", "drip-headers", "delay"]
)
def test_get__an_outage_is_never_taken_for_missing_or_corrupt(
    proxy: FaultProxy, repository: DaprRepository, fault: str
) -> None:
    key = fresh_key()
    repository.save(conversation(key), None, TTL, soon())
    proxy.fail(fault, method="GET", times=2, seconds=0.2)
    if fault == "delay":
        proxy.clear()
        proxy.fail(fault, method="GET", seconds=60)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        repository.get(key, soon())
    assert _seconds(began) < TIMEOUT_SECONDS + SLACK_SECONDS
    proxy.clear()
    assert repository.get(key, soon()).state == conversation(key)


def test_get__asked_again_when_the_connection_breaks(
    proxy: FaultProxy, repository: DaprRepository
) -> None:
    key = fresh_key()
    repository.save(conversation(key), None, TTL, soon())
    proxy.fail("cut-before-write", method="GET")
    assert repository.get(key, soon()).state == conversation(key)
    assert proxy.count("GET") == 2


def test_deadline__shorter_than_the_timeout(proxy: FaultProxy, repository: DaprRepository) -> None:
    proxy.fail("delay", times=None, seconds=60)
    for seconds in (0.05, 0.3):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            repository.get(fresh_key(), soon(seconds))
        assert _seconds(began) < seconds + 0.2
        assert not caught.value.is_outage  # it was given no fair chance


def test_sidecar__killed_between_the_write_and_its_answer(
    sidecar: Sidecar, proxy: FaultProxy, repository: DaprRepository
) -> None:
    key = fresh_key()
    proxy.fail("cut-after-write", method="POST", then=sidecar.kill)
    with pytest.raises(StoreUnavailable):
        repository.save(conversation(key), None, TTL, soon())
    with pytest.raises(StoreUnavailable):
        repository.get(key, soon())
    sidecar.start()
    assert repository.get(key, soon()).state == conversation(key)


@pytest.mark.parametrize(
    "metadata", [b"", b"{", b"[]", b"null", b'{"components": [{"name": "another"}]}']
)
def test_check__metadata_that_do_not_name_the_store(
    proxy: FaultProxy, repository: DaprRepository, metadata: bytes
) -> None:
    proxy.fail("none", method="GET")  # the store itself answers
    proxy.fail("garbage", method="GET", body=metadata)
    with pytest.raises(StoreUnavailable):
        repository.check(soon())
    proxy.fail("none", method="GET")
    proxy.fail("error", method="GET")
    with pytest.raises(StoreUnavailable):
        repository.check(soon())


def test_check__a_sidecar_that_does_not_tell_its_version(
    proxy: FaultProxy, repository: DaprRepository
) -> None:
    component = {"name": "statestore", "type": "state.x", "version": "v1", "capabilities": []}
    proxy.fail("none", method="GET")
    proxy.fail("garbage", method="GET", body=json.dumps({"components": [component]}).encode())
    assert repository.check(soon()).description == "statestore: state.x/v1"


def test_get__an_endless_answer(
    proxy: FaultProxy, repository: DaprRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER_BYTES", 1000)
    key = fresh_key()
    repository.save(conversation(key), None, TTL, soon())
    proxy.fail("garbage", method="GET", body=b" " * 1001)
    with pytest.raises(StoreUnavailable):
        repository.get(key, soon())
    assert repository.get(key, soon()).state == conversation(key)
