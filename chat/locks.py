"""The locks of the database: a user's row, and with SQLite its one writer.

Every transaction that writes more than one row of a user takes the user's row first, so none can
meet another in the opposite order. None is open while the store or the model is asked, and none
waits longer than WAIT_SECONDS to begin.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from django.db import OperationalError, connection, transaction

from chat.deadline import Deadline
from chat.errors import Unavailable
from chat.models import ChatUser

WAIT_SECONDS = 5.0
LOOKS_EVERY_SECONDS = 0.0005, 0.01  # at first, and at most
_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL


@contextmanager
def user_transaction(user_id: str) -> Iterator[ChatUser]:
    """Open a transaction that holds the user's row, which is made if there is none.

    Raises:
        Unavailable: others have held it for too long.
    """
    with in_line(), transaction.atomic():
        yield _locked_row(user_id)


@contextmanager
def user_locked(user_id: str, *, may_be_lost: bool = False) -> Iterator[None]:
    """Open a transaction that holds the user's lock, without reading the row.

    SQLite's transactions (IMMEDIATE) exclude each other anyhow.

    Args:
        user_id: whose.
        may_be_lost: don't wait until the commit is on disk. A power cut may undo it then, as if
            the process had died before it; never one commit alone that others came after.

    Raises:
        Unavailable: others have held it for too long.
    """
    with in_line(), _unsynced() if may_be_lost else nullcontext(), transaction.atomic():
        if connection.vendor == "postgresql" and may_be_lost:
            _execute("SET LOCAL synchronous_commit = off")
        if connection.features.has_select_for_update:
            _locked_row(user_id)
        yield


def in_line() -> AbstractContextManager[None]:
    """Stand in line with SQLite's other writers; elsewhere it is nothing, and costs nothing.

    Enough for a single statement that changes rows whatever they hold otherwise; it may not enclose
    another line.

    Raises:
        Unavailable: others have written for too long.
    """
    queue = _queue()
    return nullcontext() if queue is None else queue.turn()


def _locked_row(user_id: str) -> ChatUser:
    users = ChatUser.objects.select_for_update()
    try:
        try:
            return users.get(pk=user_id)
        except ChatUser.DoesNotExist:
            ChatUser.objects.bulk_create([ChatUser(user_id=user_id)], ignore_conflicts=True)
            return users.get(pk=user_id)
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
            raise _busy() from error
        raise


def limit_waiting(connection: Any, **_: Any) -> None:
    """Let no statement of a new connection wait longer for a lock (SQLite has its own timeout)."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = %s", [f"{WAIT_SECONDS:.0f}s"])


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _busy() -> Unavailable:
    return Unavailable("Too much is being written right now. Try again.", code="busy")


# --- SQLite ---------------------------------------------------------------------------------------


@contextmanager
def _unsynced() -> Iterator[None]:
    """Let SQLite not sync the commit of the transaction inside; the next synced one takes it along.

    A connection that could not be put back is closed: the next one begins as the settings say.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        yield
        return
    _execute("PRAGMA synchronous = NORMAL")
    try:
        yield
    finally:
        try:
            _execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise


class _Queue:
    """Lets one thread after the other write, over all processes of this machine.

    SQLite has one writer at a time, and those that wait look again every now and then: with a
    hundred threads some never find it free. Here the threads of a process stand in line, and only
    the first of them looks.
    """

    def __init__(self, path: str) -> None:
        self._threads = threading.Lock()
        self._path = path
        self._file: int | None = None
        self._pid = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the turn to write.

        Raises:
            Unavailable: it did not come within WAIT_SECONDS.
        """
        deadline = Deadline(WAIT_SECONDS)
        if not self._threads.acquire(timeout=WAIT_SECONDS):
            raise _busy()
        try:
            descriptor = self._descriptor()
            _lock_file(descriptor, deadline)
            try:
                yield
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def _descriptor(self) -> int:
        """Return the file of this process: one that a parent has opened is the parent's lock."""
        if self._file is None or self._pid != os.getpid():
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._pid = os.getpid()
        return self._file


def _lock_file(descriptor: int, deadline: Deadline) -> None:
    """Lock the file once the other processes leave it; flock itself would wait without a bound."""
    pause, pause_max = LOOKS_EVERY_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if deadline.passed:
                raise _busy() from None
            time.sleep(pause)
            pause = min(2 * pause, pause_max)
        else:
            return


_queues: dict[str, _Queue] = {}
_queues_lock = threading.Lock()


def _queue() -> _Queue | None:
    """The line of this connection's database; None where there is none, or its head writes here."""
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        return None
    path = str(connection.settings_dict["NAME"])
    if path == ":memory:" or "mode=memory" in path:
        return None
    with _queues_lock:
        return _queues.setdefault(path, _Queue(f"{path}-writers"))
