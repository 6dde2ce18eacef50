"""The production layout on one machine, each part its own process on loopback.

nginx (deploy/nginx) -> two servers -> proxy -> PostgreSQL (also the sidecar's store)
                                    -> proxy -> one of two Valkeys, told by three sentinels
                                    (or, without a proxy, a Redis Cluster of six)
                                    -> proxy -> sidecar -> PostgreSQL
                                    -> proxy -> model
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from soak.layout.clocks import Clock
from soak.layout.cluster import RedisSix
from soak.layout.parts import Part
from soak.layout.proxy import Network
from soak.layout.redis import RedisPair
from tests.environment import ENVIRONMENT
from tests.nginx import Nginx, deployed, make_certificate
from tests.servers import (
    ROOT,
    free_port,
    granian,
)
from tests.sidecar import binary
from tests.sidecar.daprd import Sidecar
from tests.sidecar.stores import PostgreSQLStore

SERVERS = WORKERS = 2
THREADS = 16
TURN_SECONDS = 6
TURN_SECONDS_OF_MANY = 20  # people: on one machine they wait for its cores
MANY = 100


class Layout:
    """All parts, from the constructor on until `stop`."""

    def __init__(self, users: int = 0, on_cluster: bool = False) -> None:
        """Start all, for so many people who chat at the same time; Redis as a cluster or not."""
        self._users = users
        sidecar = binary.daprd()  # NoSidecar, before anything is started
        self.mark = f"STATEKEEP_SOAK={secrets.token_hex(8)}"
        os.environ.update([self.mark.split("=")])
        self.folder = Path(tempfile.mkdtemp(prefix="statekeep-soak-"))
        self.parts: list[Part] = []
        self.network = Network()
        self.server_clock = Clock(self.folder / "server-clock")
        self.redis_clock = Clock(self.folder / "redis-clock")
        self.redis: RedisPair | RedisSix = (
            RedisSix(self.folder / "cluster")
            if on_cluster
            else RedisPair(self.folder, self.network, self.redis_clock)
        )
        # As docs/stores.md counts them for the servers, and the sidecar's.
        connections = SERVERS * WORKERS * (2 * THREADS + 2) + 50
        self._store = PostgreSQLStore(max_connections=connections)
        self.postgresql_proxy = self.network.proxy(self._store.port)
        self._sidecar = Sidecar(sidecar, self.folder / "sidecar", self._store.component)
        self.sidecar_proxy = self.network.proxy(self._sidecar.port)
        self._model_port = free_port()
        self.model_proxy = self.network.proxy(self._model_port)
        self.environ = self._environ()
        try:
            _at_once(lambda: self.redis.start(self._add), self._start_postgresql, self._start_model)
            # No server asks for tables before it is called.
            migrate = lambda: self.manage("migrate", "-v", "0")  # noqa: E731
            _at_once(migrate, self._start_sidecar, self._start_servers)
        except BaseException:
            self.stop()
            self.remove()
            raise

    def _add(self, name: str, launch: Any, stop_signal: signal.Signals = signal.SIGTERM) -> Part:
        part = Part(name, launch, stop_signal)
        self.parts.append(part)
        part.start()
        return part

    def failed_starts(self) -> list[str]:
        """Return which starts of parts failed, and why; each was tried again."""
        return [failure for part in self.parts for failure in part.failed_starts]

    def _start_postgresql(self) -> None:
        def launch() -> "subprocess.Popen[bytes]":
            self._store.start()
            assert self._store.process is not None
            return self._store.process

        self.postgresql = self._add("postgresql", launch, signal.SIGINT)

    def _start_sidecar(self) -> None:
        def launch() -> "subprocess.Popen[bytes]":
            process = self._sidecar.start().process
            assert process is not None
            return process

        self.sidecar = self._add("sidecar", launch)

    def _start_model(self) -> None:
        command = [sys.executable, "-m", "soak.layout.model", str(self._model_port)]
        self.model = self._add("model", lambda: subprocess.Popen(command, cwd=ROOT))

    def _environ(self) -> dict[str, str]:
        return {
            **ENVIRONMENT,
            "DATA_DIR": str(self.folder),
            **self.redis.environ,
            "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{self.postgresql_proxy.port}/postgres",
            "CHAT_STATE_STORE": "dapr",
            "DAPR_HTTP_ENDPOINT": f"http://127.0.0.1:{self.sidecar_proxy.port}",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{self.model_proxy.port}/v1",
            "CHAT_TURN_SECONDS": str(TURN_SECONDS_OF_MANY if self._users > MANY else TURN_SECONDS),
            "CHAT_MAX_TURNS_PER_PROCESS": str(max(12, self._users // (SERVERS * WORKERS))),
            "TRUSTED_PROXY_COUNT": "1",
            "LOG_LEVEL": "WARNING",
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }

    def _start_servers(self) -> None:
        ports = [free_port() for _ in range(SERVERS)]
        environ = self.environ | self.server_clock.of_servers
        self.logs = [self.folder / f"server{n}.log" for n in range(SERVERS)]

        def add(number: int) -> Part:
            arguments = environ, self.logs[number], WORKERS, THREADS, ports[number]
            return self._add(f"server {number}", lambda: granian(*arguments).process)

        with ThreadPoolExecutor(SERVERS) as pool:  # each takes seconds
            self.servers = list(pool.map(add, range(SERVERS)))
        self.certificate = make_certificate(self.folder)
        port = free_port()
        self.url = f"https://127.0.0.1:{port}"
        addresses = "".join(f"    server 127.0.0.1:{port};\n" for port in ports)
        replaced = {
            "    server 127.0.0.1:8000;\n": addresses,
            # Here all people have one address.
            "statekeep_connections 200": f"statekeep_connections {200 + 2 * self._users}",
            "listen 80": f"listen 127.0.0.1:{free_port()}",
            "listen 443": f"listen 127.0.0.1:{port}",
            "/etc/ssl/statekeep.pem": str(self.certificate),
            "/etc/ssl/statekeep.key": str(self.certificate),
        }
        text = deployed("statekeep.conf", replaced)
        self.nginx = self._add("nginx", lambda: Nginx(self.folder, text, port).process)

    def manage(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run a command of manage.py as an operator does."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **self.environ},
            check=check,
            capture_output=True,
            text=True,
        )

    def missing(self) -> list[str]:
        """Return which parts don't run, and whether the primary lacks its replica."""
        down = [part.name for part in self.parts if not part.is_up]
        return down if self.redis.has_replica() else [*down, "the replica"]

    def stop(self) -> None:
        """End all parts, the last one first."""
        for part in reversed(self.parts):
            part.end()
        self.network.stop()

    def remove(self) -> None:
        self.redis.unmount()
        self._store.remove()
        shutil.rmtree(self.folder, ignore_errors=True)


def _at_once(*starts: Callable[[], object]) -> None:
    """Call each in a thread; raise what the first of them raised once all have returned."""
    with ThreadPoolExecutor(len(starts)) as pool:
        calls = [pool.submit(start) for start in starts]
    for call in calls:
        call.result()
