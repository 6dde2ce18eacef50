"""The production layout on one machine, each part its own process on loopback.

nginx (deploy/nginx) -> two servers -> proxy -> PostgreSQL (also the sidecar's store)
                                    -> proxy -> one of two Valkeys, told by three sentinels
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
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from soak.parts import Part
from soak.proxy import Network, Proxy
from tests.environment import ENVIRONMENT
from tests.nginx import Nginx, deployed, make_certificate
from tests.servers import (
    ROOT,
    free_port,
    granian,
    sees_all,
    start_sentinel,
    start_valkey,
    wait_until,
)
from tests.sidecar import binary
from tests.sidecar.daprd import Sidecar
from tests.sidecar.stores import PostgreSQLStore

SERVERS = WORKERS = 2
TURN_SECONDS = 6
REPLICA_LAG_SECONDS = 2
DOWN_AFTER_MILLISECONDS = 1000
DISK = "256m"
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


class Clock:
    """The clock of some processes: it differs from the machine's by what the file says."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.step(0)

    def step(self, seconds: int) -> None:
        """Let it differ by so much from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}")
        new.replace(self._file)  # in one step: it is read at any time

    @property
    def of_servers(self) -> dict[str, str]:
        """The environment of servers that go by it."""
        folder = Path(__file__).parent / "clock"
        return {"PYTHONPATH": str(folder), "STATEKEEP_SOAK_CLOCK": str(self._file)}

    @property
    def of_redis(self) -> dict[str, str]:
        """The environment of a Valkey that goes by it, if libfaketime is installed."""
        if FAKETIME is None:
            return {}
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
        }


class Layout:
    """All parts, from the constructor on until `stop`."""

    def __init__(self) -> None:
        self.mark = f"STATEKEEP_SOAK={secrets.token_hex(8)}"
        os.environ.update([self.mark.split("=")])
        self.folder = Path(tempfile.mkdtemp(prefix="statekeep-soak-"))
        self.parts: list[Part] = []
        self.network = Network()
        self._sidecar_binary = binary.daprd()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        self.server_clock = Clock(self.folder / "server-clock")
        self.redis_clock = Clock(self.folder / "redis-clock")
        self._start_redis()
        self._start_postgresql()
        self._start_chat()
        self.environ = self._environ()
        self.manage("migrate", "-v", "0")
        self._start_servers()

    def _add(self, name: str, launch: Any, stop_signal: signal.Signals = signal.SIGTERM) -> Part:
        part = Part(name, launch, stop_signal)
        self.parts.append(part)
        part.start()
        return part

    def failed_starts(self) -> list[str]:
        """Return which starts of parts failed, and why; each was tried again."""
        return [failure for part in self.parts for failure in part.failed_starts]

    # --- Redis ------------------------------------------------------------------------------------

    def _start_redis(self) -> None:
        self._mount_disk()
        self.redis_ports = [free_port(), free_port()]
        self.redis_proxies = [self.network.proxy(port) for port in self.redis_ports]
        self.sentinel_ports = [free_port() for _ in range(3)]
        self.redis = [self._add(f"redis {n}", lambda n=n: self._launch_redis(n)) for n in (0, 1)]
        self.sentinels = []
        for number, port in enumerate(self.sentinel_ports):
            config = self.folder / f"sentinel{number}" / "sentinel.conf"
            config.parent.mkdir()
            config.write_text(
                f"sentinel monitor state 127.0.0.1 {self.redis_proxies[0].port} 2\n"
                f"sentinel down-after-milliseconds state {DOWN_AFTER_MILLISECONDS}\n"
                "sentinel failover-timeout state 3000\n"
            )
            launch = lambda c=config, p=port: start_sentinel(c, p)  # noqa: E731
            self.sentinels.append(self._add(f"sentinel {number}", launch))
        wait_until(lambda: sees_all(self.sentinel_ports[0]), 30, "the sentinels' meeting")

    def _mount_disk(self) -> None:
        """Give the Valkeys disks of their own, which can be filled, if this user may mount."""
        self.disks = [self.folder / f"redis{n}" for n in (0, 1)]
        self.can_fill_disks = True
        for disk in self.disks:
            disk.mkdir()
            command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)]
            mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
            self.can_fill_disks &= mounted

    def _launch_redis(self, number: int) -> "subprocess.Popen[bytes]":
        arguments = ["--port", str(self.redis_ports[number])]
        arguments += ["--appendonly", "yes", "--appendfsync", "always"]
        arguments += ["--min-replicas-to-write", "1"]
        arguments += ["--min-replicas-max-lag", str(REPLICA_LAG_SECONDS)]
        arguments += ["--replica-announce-ip", "127.0.0.1"]
        arguments += ["--replica-announce-port", str(self.redis_proxies[number].port)]
        if self.primary() != number:
            arguments += ["--replicaof", f"127.0.0.1 {self.redis_proxies[1 - number].port}"]
        return start_valkey(self.disks[number], *arguments, environ=self.redis_clock.of_redis)

    def primary(self) -> int:
        """Return which Valkey the sentinels call the primary; 0 before there are any."""
        for port in self.sentinel_ports:
            with suppress(RedisError, OSError):
                sentinel = Redis(port=port, socket_timeout=1)
                address = sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "state")
                return [proxy.port for proxy in self.redis_proxies].index(int(address[1]))
        return 0

    def primary_client(self) -> Redis:
        """Return a client of the primary, past all proxies."""
        return Redis(port=self.redis_ports[self.primary()], socket_timeout=5)

    def has_replica(self) -> bool:
        """Whether the primary has its replica, which says now and then what it has."""
        with suppress(RedisError, OSError):
            facts = self.primary_client().info("replication")
            replica = facts.get("slave0", {"state": "none", "lag": 0})
            is_online = replica["state"] == "online" and replica["lag"] <= REPLICA_LAG_SECONDS
            return facts["role"] == "master" and is_online
        return False

    # --- The others -------------------------------------------------------------------------------

    def _start_postgresql(self) -> None:
        self._store = store = PostgreSQLStore()

        def launch() -> "subprocess.Popen[bytes]":
            store.start()
            assert store.process is not None
            return store.process

        self.postgresql = self._add("postgresql", launch, signal.SIGINT)
        self.postgresql_proxy = self.network.proxy(store.port)

    def _start_chat(self) -> None:
        sidecar = Sidecar(self._sidecar_binary, self.folder / "sidecar", self._store.component)

        def launch() -> "subprocess.Popen[bytes]":
            process = sidecar.start().process
            assert process is not None
            return process

        self.sidecar = self._add("sidecar", launch)
        self.sidecar_proxy, self._sidecar_url = self.network.proxy(sidecar.port), sidecar.url
        port = free_port()
        command = [sys.executable, "-m", "soak.model", str(port)]
        self.model = self._add("model", lambda: subprocess.Popen(command, cwd=ROOT))
        self.model_proxy = self.network.proxy(port)

    def _environ(self) -> dict[str, str]:
        return {
            **ENVIRONMENT,
            "DATA_DIR": str(self.folder),
            "REDIS_URL": "redis://state/0",
            "REDIS_SENTINELS": ",".join(f"127.0.0.1:{port}" for port in self.sentinel_ports),
            "REDIS_RETRY_SECONDS": "4",
            "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{self.postgresql_proxy.port}/postgres",
            "CHAT_STATE_STORE": "dapr",
            "DAPR_HTTP_ENDPOINT": f"http://127.0.0.1:{self.sidecar_proxy.port}",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{self.model_proxy.port}/v1",
            "CHAT_TURN_SECONDS": str(TURN_SECONDS),
            "CHAT_MAX_TURNS_PER_PROCESS": "12",
            "TRUSTED_PROXY_COUNT": "1",
            "LOG_LEVEL": "WARNING",
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }

    def _start_servers(self) -> None:
        ports = [free_port() for _ in range(SERVERS)]
        environ = self.environ | self.server_clock.of_servers
        self.logs = [self.folder / f"server{n}.log" for n in range(SERVERS)]

        def add(number: int) -> Part:
            arguments = environ, self.logs[number], WORKERS, 16, ports[number]
            return self._add(f"server {number}", lambda: granian(*arguments).process)

        with ThreadPoolExecutor(SERVERS) as pool:  # each takes seconds
            self.servers = list(pool.map(add, range(SERVERS)))
        self.certificate = make_certificate(self.folder)
        port = free_port()
        self.url = f"https://127.0.0.1:{port}"
        addresses = "".join(f"    server 127.0.0.1:{port};\n" for port in ports)
        replaced = {
            "    server 127.0.0.1:8000;\n": addresses,
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

    @property
    def proxies(self) -> list[Proxy]:
        """All proxies."""
        others = [self.postgresql_proxy, self.sidecar_proxy, self.model_proxy]
        return [*self.redis_proxies, *others]

    def is_whole(self) -> bool:
        """Whether all parts run, and the primary has its replica."""
        return all(part.is_up for part in self.parts) and self.has_replica()

    def stop(self) -> None:
        """End all parts, the last one first."""
        for part in reversed(self.parts):
            part.end()
        self.network.stop()

    def remove(self) -> None:
        """Remove the files."""
        for disk in self.disks:
            subprocess.run(["umount", str(disk)], capture_output=True, check=False)
        self._store.remove()
        shutil.rmtree(self.folder, ignore_errors=True)
