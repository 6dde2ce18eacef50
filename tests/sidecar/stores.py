"""The stores that a sidecar keeps state in: each a real server (or file), and its component."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Protocol

import psycopg

from tests.servers import free_port, freeze, start_valkey, thaw, wait_until
from tests.sidecar.binary import NoSidecar

NAMES = ("redis", "postgresql", "sqlite", "in-memory")


class Store(Protocol):
    """A store. `component` is the YAML for a sidecar; stop and start keep what is stored.

    In-memory keeps its state in the sidecar, SQLite in a file that the sidecar opens: there is
    nothing to stop.
    """

    component: str

    def start(self) -> None: ...

    def stop(self) -> None: ...


def make_store(name: str, folder: Path) -> Store:
    """Return a store of this name, not started.

    Raises:
        NoSidecar: its server isn't installed here.
    """
    if name == "redis":
        return RedisStore(folder)
    if name == "postgresql":
        return PostgreSQLStore()
    if name == "sqlite":
        return FileStore(_component("sqlite", connectionString=str(folder / "state.db")))
    return FileStore(_component("in-memory"))


def _component(kind: str, version: str = "v1", **metadata: str) -> str:
    lines = [
        "apiVersion: dapr.io/v1alpha1",
        "kind: Component",
        "metadata:",
        "  name: statestore",
        "spec:",
        f"  type: state.{kind}",
        f"  version: {version}",
    ]
    if metadata:
        lines.append("  metadata:")
        for name, value in metadata.items():
            lines += [f"    - name: {name}", f'      value: "{value}"']
    return "\n".join(lines) + "\n"


class FileStore:
    """A store that has no server."""

    def __init__(self, component: str) -> None:
        self.component = component

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""


class RedisStore:
    """A Valkey over TCP. What it holds is lost when it stops, unless `durable`."""

    def __init__(self, folder: Path, durable: bool = False) -> None:
        self.port = free_port()
        self.component = _component("redis", redisHost=f"127.0.0.1:{self.port}", redisPassword="")
        self.folder = folder / "valkey"
        self._durability = ("--appendonly", "yes", "--appendfsync", "always") if durable else ()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it is empty unless it is durable."""
        self.process = start_valkey(self.folder, "--port", str(self.port), *self._durability)

    def stop(self) -> None:
        """Stop it; connections are refused from now on."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def _end(self, signum: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signum)
            self.process.wait(10)
            self.process = None

    def keep_copy(self, copy: Path) -> None:
        """Copy what it holds."""
        self.stop()
        shutil.copytree(self.folder, copy)
        self.start()

    def restore(self, copy: Path | None) -> None:
        """Put the copy in the place of what it holds (None: nothing). It must be stopped."""
        assert self.process is None
        shutil.rmtree(self.folder)
        if copy is not None:
            shutil.copytree(copy, self.folder)

    def freeze(self) -> None:
        """From now on it takes connections and never answers."""
        assert self.process is not None
        freeze(self.process.pid)

    def thaw(self) -> None:
        """It goes on where it was."""
        if self.process is not None:
            thaw(self.process.pid)


class PostgreSQLStore:
    """A PostgreSQL of its own, in the temporary folder."""

    def __init__(self, version: str = "v2", max_connections: int = 100) -> None:
        self._max_connections = str(max_connections)
        self._bin = _postgresql_folder()
        self._user = _unprivileged_user()
        self.folder = Path(tempfile.mkdtemp(prefix="statekeep-pg-"))
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres?connect_timeout=2"
        self.component = _component("postgresql", version, connectionString=self.url)
        self.process: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            os.chown(self.folder, pwd.getpwnam(self._user).pw_uid, -1)

    def start(self) -> None:
        """Start it, initialising it the first time."""
        data = self.folder / "data"
        if not data.exists():
            subprocess.run(
                [
                    *(str(self._bin / "initdb"), "-D", str(data), "--username=postgres"),
                    *("--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"),
                ],
                user=self._user,
                cwd=self.folder,
                check=True,
                capture_output=True,
            )
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(str(self._bin / "postgres"), "-D", str(data), "-p", str(self.port)),
                    *("-h", "127.0.0.1", "-k", str(self.folder), "-c", "fsync=off"),
                    *("-N", self._max_connections),
                ],
                user=self._user,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._is_up_or_dead, what="PostgreSQL's start")
        assert self.process.poll() is None, (self.folder / "log").read_text()

    def _is_up_or_dead(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            return True
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Stop it at once, ending its connections; what was stored stays."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)  # "fast shutdown"
            self.process.wait(20)
            self.process = None

    def remove(self) -> None:
        """Stop it and delete its files."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _postgresql_folder() -> Path:
    """Where initdb and postgres are: on the PATH, or where Debian and Homebrew put them."""
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    for pattern in ("usr/lib/postgresql/*/bin", "opt/homebrew/opt/postgresql*/bin"):
        for folder in sorted(Path("/").glob(pattern), reverse=True):
            if (folder / "initdb").exists() and (folder / "postgres").exists():
                return folder
    raise NoSidecar("no PostgreSQL server here (on Debian: apt-get install postgresql)")


def _unprivileged_user() -> str | None:
    """Whom to run PostgreSQL as: it refuses root. None: as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise NoSidecar("PostgreSQL does not run as root, and there is no other user here")
