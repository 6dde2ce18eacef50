"""A Redis for one test, to stop, freeze and fill."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from connector_state.store.scripts import connection, loop_connection, retries
from tests.servers import start_valkey, thaw

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
        self._process = start_valkey(self._folder, *arguments, "--appendfsync", "always")

    def stop(self) -> None:
        """SIGKILL, whether it runs or is frozen."""
        if self._process is not None:
            thaw(self.pid)
            self._process.kill()
            self._process.wait(10)
            self._process = None


@pytest.fixture
def use_redis(monkeypatch):
    """Call it with a client, and state calls go where it goes."""

    def use(client: Redis) -> None:
        for module in (connection, loop_connection):
            monkeypatch.setattr(module, "get_redis_connection", lambda: client)
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
