"""A Redis for one test, to stop, freeze and fill."""

import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from common.redis_cluster import routes
from connector_state.store import history
from connector_state.store.scripts import connection, loop_connection, retries
from tests.servers import start_valkey, thaw, wait_until

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
MIDNIGHT = datetime(2030, 5, 1, tzinfo=UTC)
TIMEOUT_SECONDS = 0.5


def client_of(socket: Path, timeout_seconds: float = TIMEOUT_SECONDS) -> Redis:
    """A client of a Valkey's socket, configured as the settings do it."""
    return Redis(
        unix_socket_path=str(socket),
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 1),
    )


class OtherRedis:
    """A Valkey that can be stopped and started. Nothing that it acknowledged is lost."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "s"
        self.client = client_of(self.socket)
        self._folder = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        arguments = ("--port", "0", "--unixsocket", str(self.socket), "--appendonly", "yes")
        arguments += ("--appendfsync", "always", "--enable-debug-command", "local")
        self._process = start_valkey(self._folder, *arguments)

    def stop(self) -> None:
        """SIGKILL, whether it runs or is frozen."""
        if self._process is not None:
            thaw(self.pid)
            self._process.kill()
            self._process.wait(10)
            self._process = None


@pytest.fixture
def use_redis(monkeypatch, settings):
    """Call it with a client, and state calls go where it goes."""

    def use(client: Redis) -> None:
        for module in (connection, loop_connection):
            monkeypatch.setattr(module, "get_redis_connection", lambda: client)
        if settings.REDIS_CLUSTER:  # its calls and keys, but all of them on this one
            pool = client.connection_pool
            monkeypatch.setattr(routes, "pool_for", lambda key, first_wait_seconds=0: pool)
            monkeypatch.setattr(routes, "client_for", lambda key: client)
        monkeypatch.setattr(connection, "_local", threading.local())
        monkeypatch.setattr(retries, "_outage", retries._Outage())

    return use


@pytest.fixture
def other_redis(tmp_path, use_redis) -> Iterator[OtherRedis]:
    """A Valkey of this test's own, to which state calls go."""
    other = OtherRedis(tmp_path)
    use_redis(other.client)
    other.start()
    yield other
    other.stop()


class Clock:
    """The clock of a Valkey. It stands where it was set, but for the time that passes."""

    def __init__(self, file: Path, redis: Redis) -> None:
        self._file, self._redis = file, redis
        self.now = MIDNIGHT
        self._set()

    def move(self, by: timedelta) -> None:
        self.now += by
        self._set()
        # Valkey looks at the clock between commands: the next one may still have the old time.
        wait_until(lambda: abs(self._redis.time()[0] - self.now.timestamp()) < 30)

    def _set(self) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(f"{(self.now - datetime.now(UTC)).total_seconds():+.3f}")
        new.replace(self._file)  # in one step, as Valkey reads it at any time


@pytest.fixture
def clock(other_redis, tmp_path, monkeypatch) -> Clock:
    if FAKETIME is None:
        pytest.skip("needs libfaketime (Debian: apt-get install faketime)")
    clock = Clock(tmp_path / "clock", other_redis.client)
    other_redis.stop()
    with monkeypatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(FAKETIME))
        patch.setenv("FAKETIME_TIMESTAMP_FILE", str(tmp_path / "clock"))
        patch.setenv("FAKETIME_NO_CACHE", "1")
        other_redis.start()
    monkeypatch.setattr(history, "get_redis_connection", lambda: other_redis.client)
    return clock
