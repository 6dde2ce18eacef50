"""A part of the layout: a process that is started again when it ends, as a supervisor does it."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

RESTART_SECONDS = 1.0
STOP_SECONDS = 20


class Part:
    """A process and those that it has started. `launch` starts it, and returns when it is up."""

    def __init__(
        self,
        name: str,
        launch: "Callable[[], subprocess.Popen[bytes]]",
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self._launch = launch
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()  # of the process: one thread starts or stops it at a time
        self.starts = 0
        self.failed_starts: list[str] = []

    def start(self) -> None:
        """Start it, and start it again from now on whenever it has ended."""
        with self._lock:
            self._start()
        threading.Thread(target=self._supervise, daemon=True).start()

    def _start(self) -> None:
        self._process = self._launch()
        self.starts += 1
        self._wanted.set()

    def _supervise(self) -> None:
        while not self._ended.wait(0.2):
            with self._lock:
                if not self._wanted.is_set() or self.is_up or self._ended.wait(RESTART_SECONDS):
                    continue
                try:
                    self._start()
                except Exception as error:  # such as a full disk: it is tried again
                    self.failed_starts.append(f"{self.name}: {str(error)[:200]}")

    @property
    def is_up(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The id of its first process."""
        assert self._process is not None
        return self._process.pid

    def pids(self) -> list[int]:
        """Return the ids of its processes, its first one first."""
        return list(_tree(self.pid)) if self.is_up else []

    def signal(self, signum: signal.Signals, pids: list[int] | None = None) -> None:
        """Send a signal to these of its processes, or to all of them."""
        for pid in self.pids() if pids is None else pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signum)

    def restart(self) -> None:
        """Stop it as an operator does, and start it again."""
        with self._lock:
            self._stop()
            self._start()

    def end(self) -> None:
        self._ended.set()
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        if self._process is None:
            return
        pids = self.pids()
        self.signal(signal.SIGCONT, pids)
        self._process.send_signal(self._stop_signal)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL, pids)
            self._process.wait(STOP_SECONDS)


def _tree(pid: int) -> Iterator[int]:
    """Yield the ids of a process and of all that it has started."""
    yield pid
    try:
        lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return
    for child in " ".join(lists).split():
        yield from _tree(int(child))


def marked_processes(mark: str) -> dict[int, str]:
    """Return id and command of the other processes with this text in their environment."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            environ = (folder / "environ").read_bytes()
            if mark.encode() in environ and int(folder.name) != os.getpid():
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(folder.name)] = command.decode(errors="replace")[:120]
    return found


def wait_while(condition: Callable[[], object], seconds: float) -> bool:
    """Poll until the condition is false; return whether it became so in time."""
    give_up_at = time.monotonic() + seconds
    while condition():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.1)
    return True
