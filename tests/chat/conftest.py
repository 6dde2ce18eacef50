"""Fixtures of the chat's tests: the conversation stores, each a real one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
from django.conf import settings as django_settings
from django_redis import get_redis_connection

from chat.api.bearer.jwks import forget_keys
from chat.api.throttles import forget_limiter
from chat.conversations.state import ConversationKey
from chat.repository import ConversationRepository, forget_repositories
from chat.repository.cluster import ClusterRepository
from chat.repository.dapr import DaprRepository
from chat.repository.redis import RedisRepository, service_connection
from chat.repository.transport import Transport
from tests.chat.chat_store import ChatStore
from tests.chat.key_set import ISSUER, KeySet
from tests.servers import free_port
from tests.sidecar import binary, stores
from tests.sidecar.daprd import Sidecar


@pytest.fixture(autouse=True)
def _fresh_chat() -> None:
    """Each test meets closed breakers, and nothing remembered of an outage."""
    forget_repositories()
    forget_limiter()
    forget_keys()


MAX_STATE_BYTES = 3_000_000
BACKENDS = ("redis", *(f"dapr-{name}" for name in stores.NAMES))


@dataclass(frozen=True)
class Backend:
    """A repository, and a way round it: `put_raw` stores any JSON text under a key."""

    name: str
    repository: ConversationRepository
    put_raw: Callable[[ConversationKey, bytes], None]


def redis_repository() -> RedisRepository:
    """A repository on the Redis of the tests, or on their cluster."""
    kind = ClusterRepository if django_settings.REDIS_CLUSTER else RedisRepository
    return kind(service_connection, MAX_STATE_BYTES, 2, 10)


def dapr_repository(
    url: str,
    *,
    api_token: str = "",
    store_name: str = "statestore",
    connect_timeout_seconds: float = 2,
    timeout_seconds: float = 10,
) -> DaprRepository:
    """A repository on a sidecar, with timeouts that a busy test machine keeps."""
    transport = Transport(url, api_token, connect_timeout_seconds, timeout_seconds)
    return DaprRepository(transport, store_name, MAX_STATE_BYTES)


TIMEOUT_SECONDS = 1.0
SLACK_SECONDS = 0.5  # of a busy machine


def impatient_repository(url: str) -> DaprRepository:
    """With timeouts that a test can wait for."""
    return dapr_repository(url, connect_timeout_seconds=0.5, timeout_seconds=TIMEOUT_SECONDS)


@pytest.fixture(scope="session")
def daprd() -> Path:
    """The program; the test is skipped, with the reason, where there is none."""
    try:
        return binary.daprd()
    except binary.NoSidecar as reason:
        pytest.skip(f"no Dapr sidecar: {reason}")


@pytest.fixture
def sidecar(daprd: Path, tmp_path: Path) -> Iterator[Sidecar]:
    """A sidecar of this test's own, with an SQLite store: its state outlives its restarts."""
    store = stores.make_store("sqlite", tmp_path)
    running = Sidecar(daprd, tmp_path / "sidecar", store.component).start()
    yield running
    running.kill()


@pytest.fixture(scope="session")
def store_behind_sidecar(
    daprd: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ChatStore]:
    """A sidecar with a Valkey behind it, shared by the tests of this process."""
    folder = tmp_path_factory.mktemp("store")
    store = stores.RedisStore(folder)
    store.start()
    running = Sidecar(daprd, folder / "sidecar", store.component).start()
    environ = {"CHAT_STATE_STORE": "dapr", "DAPR_HTTP_ENDPOINT": running.url}
    with redis.Redis(port=store.port) as client:
        yield ChatStore("sidecar", client, environ)
    running.stop()
    store.stop()


@pytest.fixture(params=["redis", "sidecar"])
def chat_store(request: Any, settings: Any) -> ChatStore:
    """The service set to each kind of store in turn; it is empty."""
    if request.param == "redis":
        return ChatStore("redis", get_redis_connection(), {"CHAT_STATE_STORE": "redis"})
    store: ChatStore = request.getfixturevalue("store_behind_sidecar")
    store.forget_everything()
    settings.CHAT_STATE_STORE = "dapr"
    settings.DAPR_ENDPOINT = store.environ["DAPR_HTTP_ENDPOINT"]
    return store


@pytest.fixture(
    scope="session",
    params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in BACKENDS],
)
def backend(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Each of the stores in turn, started once."""
    if request.param == "redis":
        yield Backend("redis", redis_repository(), _put_into_redis)
        return
    program = request.getfixturevalue("daprd")
    folder = tmp_path_factory.mktemp(request.param)
    try:
        store = stores.make_store(request.param.removeprefix("dapr-"), folder)
    except binary.NoSidecar as reason:
        pytest.skip(str(reason))
    store.start()
    running = Sidecar(program, folder / "sidecar", store.component).start()

    def put_raw(key: ConversationKey, raw: bytes) -> None:
        body = b'[{"key":"%s","value":%s,"options":{"concurrency":"first-write"}}]'
        answer = requests.post(
            f"{running.url}/v1.0/state/statestore", body % (str(key).encode(), raw), timeout=10
        )
        assert answer.status_code == 204, answer.text

    yield Backend(request.param, dapr_repository(running.url), put_raw)
    running.stop()
    store.stop()
    if isinstance(store, stores.PostgreSQLStore):
        store.remove()


def _put_into_redis(key: ConversationKey, raw: bytes) -> None:
    get_redis_connection().set(str(key), raw)


@pytest.fixture
def store_is_away(settings: Any) -> Iterator[Callable[[], None]]:
    """Nothing listens where the store should be; call it to take the store away."""

    def take_away() -> None:
        settings.CHAT_STATE_STORE = "dapr"
        settings.DAPR_ENDPOINT = f"http://127.0.0.1:{free_port()}"
        forget_repositories()

    yield take_away
    forget_repositories()


@pytest.fixture
def key_set(settings: Any) -> Iterator[KeySet]:
    """A key set that the service is set to, with its issuer and audience."""
    keys = KeySet()
    settings.JWT_JWKS_URL = keys.url
    settings.JWT_SIGNING_KEY = ""
    settings.JWT_ISSUER, settings.JWT_AUDIENCE = [ISSUER], ["statekeep"]
    yield keys
    keys.stop()
