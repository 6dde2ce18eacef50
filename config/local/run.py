"""`make run`: start the whole service on this machine, and stop it at Ctrl-C.

    make -> this -> tether -> Valkey           (unless REDIS_URL is set)
                 -> tether -> granian -> workers

Each process ends when its parent does, so a SIGKILL of any of them, or of several, leaves no
orphans. All files are in DATA_DIR. This module reads the environment by itself, because it writes
the settings that Django then loads.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from config import env
from config.local import generated, valkey
from config.local.data_dir import RESERVE, Locks, disk_is_full, make_private
from config.local.exits import fail, one_line

VALKEY, SERVER = "Valkey", "The server"
HOST = "127.0.0.1"
WORKERS = 2
BACKLOG = 16_384
GRANIAN_OPTIONS = (
    # asginl is ASGI without lifespan, of which config.asgi has no use.
    *("--interface", "asginl", "--http", "1", "--no-ws", "--loop", "auto"),  # uvloop, if installed
    # Connections at once, silent ones included. By default it is 1,024 over all workers, and so
    # many silent ones shut everybody out until they have been silent for half a minute.
    *("--backpressure", "16384", "--backlog", str(BACKLOG), "--http1-header-read-timeout", "10000"),
)
START_SECONDS = 60
POLL_SECONDS = 0.2


def main() -> None:
    """Start the service, print how to use it, and wait for a signal."""
    os.chdir(generated.BASE_DIR)
    os.umask(0o077)
    port = _port()
    settings_file = generated.path()
    data_dir = settings_file.parent
    make_private(data_dir)
    os.environ["DATA_DIR"] = str(data_dir)
    locks = Locks(data_dir)
    listener = _listen(port)
    choose_chat_store()
    _Runner(listener, _load_and_record(settings_file), locks).run()


def choose_chat_store() -> None:
    """Set CHAT_STATE_STORE to `redis` if the environment announces no sidecar."""
    if not generated.announces_chat_store():
        os.environ["CHAT_STATE_STORE"] = "redis"


def _load_and_record(settings_file: Path) -> env.Environment:
    """Load the settings of this run, and record them for `manage.py`."""
    recorded = generated.read(settings_file)
    embedded = not generated.uses_external_stores()
    if embedded:
        _check_keys(recorded, settings_file)
    settings = generated.complete(recorded, embedded=embedded)
    environment = env.load(settings)  # a bad setting ends the run here, and is not recorded
    generated.write(settings_file, settings)
    return environment


def _check_keys(recorded: Mapping[str, str], settings_file: Path) -> None:
    """Refuse to generate keys beside a database that other keys have encrypted."""
    name, database = "CONNECTOR_SECRET_KEYS", settings_file.parent / generated.DATABASE_FILE
    if database.exists() and not (recorded.get(name) or os.environ.get(name)):
        fail(
            f"{settings_file} has lost {name}, with which secrets in {database.name} are "
            "encrypted: restore it from a backup, or remove both files"
        )


class _Runner:
    """Starts, watches and stops the processes of one `make run`."""

    def __init__(self, listener: socket.socket, environment: env.Environment, locks: Locks) -> None:
        self.listener = listener
        self.port = listener.getsockname()[1]
        self.environment = environment
        self.data_dir = environment.data_dir
        self.valkey_socket = valkey.socket_path(self.data_dir)
        self.locks = locks
        self.parent = os.getppid()
        self.tethers: dict[str, subprocess.Popen[bytes]] = {}
        self.stopping = threading.Event()
        self.is_full = False  # the disk

    def run(self) -> None:
        """Start all processes, wait for a signal or the end of one of them, and stop all."""
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, lambda *_: self.stopping.set())
        try:
            if self.environment.embedded_redis:
                self._start_valkey()
            introduction = self._prepare()
            self._start_server()
            print(introduction, flush=True)
            self._wait()
        finally:
            self._stop()

    def _start_valkey(self) -> None:
        if disk_is_full(self.data_dir):
            fail(f"the disk of {self.data_dir} is full: less than {RESERVE} are free")
        folder = self.data_dir / "valkey"
        make_private(folder)
        make_private(self.valkey_socket.parent)
        self._start(VALKEY, *valkey.command(self.valkey_socket, folder))
        is_up = partial(valkey.answers, self.valkey_socket)
        self._wait_until(VALKEY, is_up, f"see {folder / 'valkey.log'}")

    def _prepare(self) -> str:
        """Migrate the database, create the demo accounts, and return the text to print."""
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
        import django
        from django import db
        from django.core.management import call_command

        django.setup()

        from config.local import demo
        from overview import figures

        try:
            call_command("migrate", verbosity=0)
            figures.record()
            return demo.introduction(self.data_dir, f"http://{HOST}:{self.port}")
        except db.Error as error:
            fail(f"the database can't be used ({error}): is it damaged, or its disk full?")

    def _start_server(self) -> None:
        self._start(
            SERVER,
            *(sys.executable, "-m", "config.local.server", str(self.listener.fileno())),
            *("config.asgi:application", *GRANIAN_OPTIONS),
            *("--host", HOST, "--port", str(self.port), "--workers", str(WORKERS)),
            *("--workers-kill-timeout", "10", "--respawn-failed-workers", "--log-level", "error"),
            pass_fds=[self.listener.fileno()],
        )
        self._wait_until(SERVER, partial(_is_live, self.port), "see above")

    def _start(self, name: str, *command: str, pass_fds: Iterable[int] = ()) -> None:
        self.tethers[name] = subprocess.Popen(
            [sys.executable, "-m", "config.local.tether", str(os.getpid()), *command],
            start_new_session=True,
            pass_fds=[self.locks.inherited, *pass_fds],
        )

    def _wait_until(self, name: str, is_up: Callable[[], bool], hint: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_up():
            self._check_parts(hint)
            if time.monotonic() > deadline:
                fail(f"{name} did not start within {START_SECONDS} s: {hint}")
            time.sleep(0.05)

    def _wait(self) -> None:
        while not self.stopping.wait(POLL_SECONDS) and os.getppid() == self.parent:
            if self.environment.embedded_redis:
                self._watch_disk()
            self._check_parts("everything else is stopped too")

    def _watch_disk(self) -> None:
        """Keep Valkey from filling the disk; start it again when a disk that was full has room."""
        is_full = disk_is_full(self.data_dir, was_full=self.is_full)
        if is_full == self.is_full:
            return
        if self.tethers[VALKEY].poll() is None:
            if not valkey.refuse_growth(self.valkey_socket, is_full):
                return  # it is asked again
        elif not is_full:
            self._start_valkey()
        self.is_full = is_full
        now = f"is full (less than {RESERVE}): values are refused" if is_full else "has room"
        print(f"statekeep: the disk of {self.data_dir} {now}", file=sys.stderr, flush=True)

    def _check_parts(self, hint: str) -> None:
        if self.stopping.is_set():
            raise SystemExit(130)
        for name, tether in self.tethers.items():
            # A Valkey that a full disk has ended waits for room.
            if tether.poll() is not None and not (name == VALKEY and self.is_full):
                fail(f"{name} has ended: {hint}")

    def _stop(self) -> None:
        self.locks.note_stop()
        self.listener.close()  # the server has it too, and closes it when it has answered
        # The server first: the answers that it finishes need Valkey.
        for tether in reversed(self.tethers.values()):
            tether.terminate()
            with suppress(subprocess.TimeoutExpired):
                tether.wait(20)
            # A tether that was killed has left its command in the group.
            with suppress(ProcessLookupError):
                os.killpg(tether.pid, signal.SIGKILL)
            tether.wait()


def _port() -> int:
    text = os.environ.get("PORT") or "8000"
    if not text.isdecimal() or not 0 < int(text) < 65536:
        fail(f"PORT must be a number from 1 to 65535, not {text!r}")
    return int(text)


def _listen(port: int) -> socket.socket:
    """Take the port for this run: nobody can share it, from now until its last process ends."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(BACKLOG)
    except OSError as error:
        fail(f"port {port} can't be used ({error.strerror}): try PORT={port % 65535 + 1} make run")
    listener.setblocking(False)
    return listener


def _is_live(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/livez", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    with one_line():
        main()
