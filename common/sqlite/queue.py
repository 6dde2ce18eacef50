"""The queue in which SQLite's writers stand.

SQLite has one writer at a time, and those that wait look again every now and then: with a hundred
threads some never find it free (seen: "database is locked" after 5 s). Here the threads of a
process wait for a lock in the order of their coming, and only the first of them looks.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from common.database import busy
from common.database.busy import DatabaseBusy

LOOKS_EVERY_SECONDS = 0.0005, 0.01  # at first, and at most


class WriterQueue:
    """Lets one thread after the other write, over all processes of this machine.

    Not reentrant: a thread that has entered leaves before it enters again.
    """

    def __init__(self, path: str) -> None:
        self._threads = threading.Lock()
        self._path = path
        self._file: int | None = None

    def enter(self) -> None:
        """Wait for the turn to write.

        Raises:
            DatabaseBusy: it did not come within WAIT_SECONDS, or before the end of `waiting_until`.
        """
        give_up_at = _patience.give_up_at or time.monotonic() + busy.WAIT_SECONDS
        if not self._threads.acquire(timeout=max(0, give_up_at - time.monotonic())):
            raise DatabaseBusy
        try:
            self._lock_file(give_up_at)
        except BaseException:
            self._threads.release()
            raise

    def leave(self) -> None:
        """Let the next one write. Another thread than the one that entered may do it."""
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def _lock_file(self, give_up_at: float) -> None:
        """Lock the file once other processes leave it."""
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        pause, pause_max = LOOKS_EVERY_SECONDS
        while True:
            try:
                # Without LOCK_NB, flock would wait without end.
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= give_up_at:
                    raise DatabaseBusy from None
                time.sleep(pause)
                pause = min(2 * pause, pause_max)
            else:
                return


class _Patience(threading.local):
    give_up_at: float | None = None


_patience = _Patience()


@contextmanager
def waiting_until(give_up_at: float) -> Iterator[None]:
    """Let this thread wait to this moment, in terms of time.monotonic."""
    _patience.give_up_at = give_up_at
    try:
        yield
    finally:
        _patience.give_up_at = None


_queues: dict[str, WriterQueue] = {}

# A child has its own threads, and must not share a file lock with its parent.
os.register_at_fork(after_in_child=_queues.clear)


def queue_of(database: str) -> WriterQueue:
    """Return this process's queue for the database file at this path."""
    # setdefault is atomic: two threads get the same queue.
    return _queues.setdefault(database, WriterQueue(f"{database}-writers"))
