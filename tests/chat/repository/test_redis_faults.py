"""The Redis backend on bad days."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django_redis import get_redis_connection

from chat.errors import StoreConflict, StoreMissing, StoreUnavailable
from chat.repository import redis as backend
from chat.repository.redis import RedisRepository, service_connection
from tests.chat.conftest import MAX_STATE_BYTES
from tests.chat.samples import conversation, fresh_key, soon
from tests.sidecar.stores import RedisStore

TTL = 2_592_000
TIMEOUT_SECONDS = 1.0
SLACK_SECONDS = 0.5


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RedisStore]:
    store = RedisStore(tmp_path, durable=True)
    store.start()
    yield store
    store.thaw()
    store.stop()


@pytest.fixture
def repository(
    store: RedisStore, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RedisRepository]:
    """As the service makes it, on this store."""
    options = settings.CACHES["default"]["OPTIONS"]["CONNECTION_POOL_KWARGS"]
    client = redis.Redis(host="127.0.0.1", port=store.port, **options)
    monkeypatch.setattr(backend, "get_redis_connection", lambda: client)
    made = []

    def make_connection() -> object:
        made.append(service_connection())
        return made[-1]

    yield RedisRepository(make_connection, MAX_STATE_BYTES, 0.5, TIMEOUT_SECONDS)
    for connection in made:
        connection.disconnect()
    client.close()


def test_redis__refuses_connections_and_is_back(
    store: RedisStore, repository: RedisRepository
) -> None:
    key = fresh_key()
    repository.save(conversation(key), None, TTL, soon())
    etag = repository.get(key, soon()).etag
    store.stop()
    began = time.monotonic()
    for call in (
        lambda: repository.get(key, soon()),
        lambda: repository.save(conversation(key, 2), etag, TTL, soon()),
        lambda: repository.delete(key, etag, soon()),
        lambda: repository.check(soon()),
    ):
        with pytest.raises(StoreUnavailable) as caught:
            call()
        assert caught.value.is_outage
    assert time.monotonic() - began < SLACK_SECONDS
    store.start()
    assert repository.get(key, soon()).state == conversation(key)


def test_redis__frozen(store: RedisStore, repository: RedisRepository) -> None:
    key = fresh_key()
    repository.save(conversation(key), None, TTL, soon())
    etag = repository.get(key, soon()).etag
    store.freeze()
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        repository.save(conversation(key, 2), etag, TTL, soon())
    assert time.monotonic() - began < TIMEOUT_SECONDS + SLACK_SECONDS
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        repository.get(key, soon(0.1))
    assert time.monotonic() - began < SLACK_SECONDS
    store.thaw()
    # The write that got no answer was applied when Redis woke up: its reply meets no other call.
    assert repository.get(key, soon()).state == conversation(key, 2)
    with pytest.raises(StoreConflict):
        repository.save(conversation(key, 3), etag, TTL, soon())


def test_redis__frozen_before_the_first_call_of_a_thread(
    store: RedisStore, repository: RedisRepository
) -> None:
    store.freeze()
    for call in (lambda: repository.get(fresh_key(), soon()), lambda: repository.check(soon())):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            call()
        assert time.monotonic() - began < TIMEOUT_SECONDS + SLACK_SECONDS


def test_redis__restarted_between_two_calls(store: RedisStore, repository: RedisRepository) -> None:
    key = fresh_key()
    repository.save(conversation(key), None, TTL, soon())
    store.stop()
    store.start()
    assert repository.get(key, soon()).state == conversation(key)


def test_redis__forgot_the_scripts(store: RedisStore, repository: RedisRepository) -> None:
    key = fresh_key()
    client = redis.Redis(port=store.port)
    repository.save(conversation(key), None, TTL, soon())
    client.script_flush()
    etag = repository.get(key, soon()).etag
    client.script_flush()
    repository.delete(key, etag, soon())
    client.close()
    with pytest.raises(StoreMissing):
        repository.get(key, soon())


def test_redis__is_full(store: RedisStore, repository: RedisRepository) -> None:
    key = fresh_key()
    client = redis.Redis(port=store.port)
    client.config_set("maxmemory", "1")
    with pytest.raises(StoreUnavailable):
        repository.save(conversation(key), None, TTL, soon())
    client.config_set("maxmemory", "0")
    client.close()
    with pytest.raises(StoreMissing):
        repository.get(key, soon())


@pytest.mark.skipif(
    bool(django_settings.REDIS_CLUSTER), reason="on a cluster connections are made beside the pools"
)
def test_redis__threads_that_end_use_up_no_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    client = get_redis_connection()
    client.ping()
    monkeypatch.setattr(client.connection_pool, "max_connections", 1)
    for _ in range(3):
        connection = service_connection()
        connection.connect()
        connection.disconnect()
