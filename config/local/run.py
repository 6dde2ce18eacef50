"""`make run`: start the whole service on this machine, and stop it at Ctrl-C.

    make -> this -> tether -> Valkey           (unless REDIS_URL is set)
                 -> tether -> granian -> workers

Each process ends when its parent does, so a SIGKILL of any of them leaves no orphans. All files are
in DATA_DIR. This module reads the environment by itself, because it writes the settings that Django
then loads.
"""

import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from config import env
from config.local import generated, valkey

HOST = "127.0.0.1"
WORKERS = 2
GRANIAN_OPTIONS = (
    # asginl is ASGI without lifespan, of which config.asgi has no use.
    *("--interface", "asginl", "--http", "1", "--no-ws", "--loop", "auto"),  # uvloop, if installed
    # Connections at once, silent ones included. By default it is 1,024 over all workers, and so
    # many silent ones shut everybody out until they have been silent for half a minute.
    *("--backpressure", "16384", "--backlog", "16384", "--http1-header-read-timeout", "10000"),
)
START_SECONDS = 60
LOCK_SECONDS = 5
POLL_SECONDS = 0.2


def main() -> None:
    """Start the service, print how to use it, and wait for a signal."""
    os.chdir(generated.BASE_DIR)
    os.umask(0o077)
    port = _port()
    settings_file = generated.path()
    data_dir = settings_file.parent
    _make_private(data_dir)
    os.environ["DATA_DIR"] = str(data_dir)
    lock = _lock(data_dir)
    _check_port_is_free(port)
    choose_chat_store()
    _Runner(port, _load_and_record(settings_file), lock).run()


def choose_chat_store() -> None:
    """Set CHAT_STATE_STORE to `redis` if the environment announces no sidecar."""
    if not generated.announces_chat_store():
        os.environ["CHAT_STATE_STORE"] = "redis"


def _load_and_record(settings_file: Path) -> env.Environment:
    """Load the settings of this run, and record them for `manage.py`."""
    recorded = generated.read(settings_file)
    settings = generated.complete(recorded, embedded=not generated.uses_external_stores())
    environment = env.load(settings)  # a bad setting ends the run here, and is not recorded
    generated.write(settings_file, settings)
    return environment


class _Runner:
    """Starts, watches and stops the processes of one `make run`."""

    def __init__(self, port: int, environment: env.Environment, lock: int) -> None:
        self.port = port
        self.environment = environment
        self.data_dir = environment.data_dir
        self.lock = lock
        self.parent = os.getppid()
        self.tethers: dict[str, subprocess.Popen[bytes]] = {}
        self.stopping = threading.Event()

    def run(self) -> None:
        """Start all processes, wait for a signal or the end of one of them, and stop all."""
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, lambda *_: self.stopping.set())
        try:
            if self.environment.embedded_redis:
                self._start_valkey(valkey.socket_path(self.data_dir))
            introduction = self._prepare()
            self._start_server()
            print(introduction, flush=True)
            self._wait()
        finally:
            self._stop()

    def _start_valkey(self, unix_socket: Path) -> None:
        folder = self.data_dir / "valkey"
        _make_private(folder)
        _make_private(unix_socket.parent)
        self._start("Valkey", *valkey.command(unix_socket, folder))
        self._wait_until(lambda: valkey.answers(unix_socket), f"see {folder / 'valkey.log'}")

    def _prepare(self) -> str:
        """Migrate the database, create the demo accounts, and return the text to print."""
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)

        from config.local import demo
        from overview import figures

        figures.record()
        return demo.introduction(self.data_dir, f"http://{HOST}:{self.port}")

    def _start_server(self) -> None:
        self._start(
            "The server",
            *(sys.executable, "-m", "granian", "config.asgi:application", *GRANIAN_OPTIONS),
            *("--host", HOST, "--port", str(self.port), "--workers", str(WORKERS)),
            *("--workers-kill-timeout", "10", "--respawn-failed-workers", "--log-level", "error"),
        )
        self._wait_until(lambda: _is_live(self.port), "see above")

    def _start(self, name: str, *command: str) -> None:
        self.tethers[name] = subprocess.Popen(
            [sys.executable, "-m", "config.local.tether", str(os.getpid()), *command],
            start_new_session=True,
            pass_fds=[self.lock],
        )

    def _wait_until(self, is_up: Callable[[], bool], hint: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_up():
            self._check_parts(hint)
            if time.monotonic() > deadline:
                _fail(
                    f"{next(reversed(self.tethers))} did not start within {START_SECONDS} s: {hint}"
                )
            time.sleep(0.05)

    def _wait(self) -> None:
        while not self.stopping.wait(POLL_SECONDS) and os.getppid() == self.parent:
            self._check_parts("everything else is stopped too")

    def _check_parts(self, hint: str) -> None:
        if self.stopping.is_set():
            raise SystemExit(130)
        for name, tether in self.tethers.items():
            if tether.poll() is not None:
                _fail(f"{name} has ended: {hint}")

    def _stop(self) -> None:
        # The server first: the answers that it finishes need Valkey.
        for tether in reversed(self.tethers.values()):
            tether.terminate()
            with suppress(subprocess.TimeoutExpired):
                tether.wait(20)
            # A tether that was killed has left its command in the group.
            with suppress(ProcessLookupError):
                os.killpg(tether.pid, signal.SIGKILL)
            tether.wait()


def _make_private(directory: Path) -> None:
    """Create a folder that only its owner can read; refuse a link, and another user's folder."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        _fail(f"{directory} can't be made: {error.strerror}")
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        _fail(f"{directory} is not a folder of your own")
    directory.chmod(0o700)


def _port() -> int:
    text = os.environ.get("PORT") or "8000"
    if not text.isdecimal() or not 0 < int(text) < 65536:
        _fail(f"PORT must be a number from 1 to 65535, not {text!r}")
    return int(text)


def _check_port_is_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            _fail(f"port {port} can't be used ({error.strerror}): try PORT={port + 1} make run")


def _lock(data_dir: Path) -> int:
    """Lock DATA_DIR until the last process of this run ends; return the open file.

    Two Valkeys on one append-only file would corrupt it. The tethers inherit the lock.
    """
    descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                _fail(f"another `make run` is using {data_dir}: stop it, or set DATA_DIR and PORT")
            time.sleep(0.1)


def _is_live(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/livez", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _fail(message: str) -> NoReturn:
    raise SystemExit(f"statekeep: {message}")


if __name__ == "__main__":
    main()
