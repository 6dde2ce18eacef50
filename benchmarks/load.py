"""The product and the floors as servers, and pre-signed load on them: for the other benchmarks."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from config.local.run import GRANIAN_OPTIONS
from tests.environment import ENVIRONMENT
from tests.servers import ROOT, Server, free_port, start_valkey

HERE = Path(__file__).parent
WSGI = ("--interface", "wsgi", "--http", "1", "--no-ws", "--blocking-threads", "4")
FLEET = 10_000
CREATE_FLEET = f"""
from connector_state.credentials.issuing import create_connector
from django.db import transaction
with transaction.atomic():
    for number in range({FLEET}):
        new = create_connector(f"connector {{number}}")
        print(new.connector.uuid, new.key_id, new.secret)
"""
VALUE_BYTES, KEYS, CONNECTIONS = 1500, 1000, 16
MOST_PER_SECOND = 10_000
TICKS = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """What a load cost: CPU seconds per 1,000 requests, and how many a second there were."""

    server: float
    valkey: float
    per_second: float


class Bench:
    """The product, as it is served and under WSGI, and the floors; all by granian."""

    def __init__(self, folder: Path, socket: Path, seconds: int, valkey_pid: int) -> None:
        self.folder, self.seconds, self.valkey_pid = folder, seconds, valkey_pid
        environ = {
            **ENVIRONMENT,
            "DATA_DIR": str(folder),
            "REDIS_URL": f"unix://{socket}",
            "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
            "STATE_MAX_REQUESTS_PER_SECOND": "1000000",  # counted, and never reached
        }
        self.credentials = _create_connector(environ)
        self.fleet = folder / "fleet"
        self.fleet.write_text(_manage(environ, "shell", "--no-imports", "-c", CREATE_FLEET))
        self.product = _granian("config.asgi", environ, folder / "log", GRANIAN_OPTIONS)
        self.wsgi = _granian("config.wsgi", environ, folder / "wsgi.log", WSGI)
        self.bare = _granian("benchmarks.bare", environ, folder / "bare.log", WSGI)
        self.floor = _granian("benchmarks.empty", environ, folder / "floor.log", WSGI)

    def stop(self) -> None:
        """Stop the servers."""
        for server in (self.product, self.wsgi, self.bare, self.floor):
            server.stop()

    def state(self, server: Server, method: str, *, close: bool, fleet: bool = False) -> Cost:
        """Send pre-signed requests; return what they cost."""
        requests = self.folder / "requests"
        count = MOST_PER_SECOND * self.seconds
        subprocess.run(
            [
                *(sys.executable, str(HERE / "presign.py"), server.url, *self.credentials),
                *(method, str(count), str(VALUE_BYTES), str(KEYS), str(requests)),
                *(["--close"] if close else []),
                *(["--fleet", str(self.fleet)] if fleet else []),
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        return self._load(server, "-s", str(HERE / "replay.lua"), "--", str(requests))

    def empty(self, *, close: bool) -> Cost:
        """Send requests that are answered by an empty 204; return what they cost."""
        return self._load(self.floor, *(["-H", "Connection: close"] if close else []))

    def _load(self, server: Server, *arguments: str) -> Cost:
        script = arguments.index("--") if "--" in arguments else len(arguments)
        before = cpu_seconds(server.process.pid), cpu_seconds(self.valkey_pid, group=False)
        result = subprocess.run(
            [
                *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{self.seconds}s", *arguments[:script]),
                *(server.url, *arguments[script:]),
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        if result.returncode:
            raise SystemExit(f"wrk: {result.stderr.strip()}")
        after = cpu_seconds(server.process.pid), cpu_seconds(self.valkey_pid, group=False)
        thousands = _requests(result.stdout) / 1000
        return Cost(
            server=(after[0] - before[0]) / thousands,
            valkey=(after[1] - before[1]) / thousands,
            per_second=1000 * thousands / self.seconds,
        )


@contextmanager
def bench(seconds: int) -> Iterator[Bench]:
    """Start the servers and a Valkey without a disk, for loads of so many seconds; stop them."""
    with tempfile.TemporaryDirectory(prefix="statekeep-bench-") as name:
        folder = Path(name)
        socket = folder / "s"
        valkey = start_valkey(folder / "valkey", "--port", "0", "--unixsocket", str(socket))
        try:
            servers = Bench(folder, socket, seconds, valkey.pid)
            try:
                yield servers
            finally:
                servers.stop()
        finally:
            valkey.terminate()
            valkey.wait(10)


def _manage(environ: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environ}, check=True, capture_output=True
    ).stdout.decode()


def _create_connector(environ: dict[str, str]) -> list[str]:
    _manage(environ, "migrate", "-v", "0")
    return list(json.loads(_manage(environ, "create_connector", "bench", "--json")).values())


def _granian(module: str, environ: dict[str, str], log: Path, options: Sequence[str]) -> Server:
    port = free_port()
    command = [sys.executable, "-m", "granian", f"{module}:application", *options]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--log-level", "warning", "--workers-kill-timeout", "2"]
    return Server(command, port, environ, log)


def _requests(output: str) -> int:
    for line in output.splitlines():
        if line.startswith("RESULT "):
            return int(json.loads(line.removeprefix("RESULT "))["ok2xx"])
    return next(int(line.split()[0]) for line in output.splitlines() if " requests in " in line)


def cpu_seconds(pid: int, *, group: bool = True) -> float:
    """Return user and system time of a process, or of the group that it leads."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*/stat" if group else f"{pid}/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if not group or int(fields[2]) == pid:
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def worker_of(server: Server) -> int:
    """Return the pid of the server's one worker: the youngest of its group."""
    group = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        fields = entry.read_text().rpartition(")")[2].split()
        if int(fields[2]) == server.process.pid:
            group.append(int(entry.parent.name))
    return max(group)
