"""The locks of the database: a user's row, and with SQLite its one writer.

Every transaction that writes more than one row of a user takes the user's row first, so none can
meet another in the opposite order. None is open while the store or the model is asked.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from django.db import connection, transaction

from chat.models import ChatUser


@contextmanager
def user_transaction(user_id: str) -> Iterator[ChatUser]:
    """Open a transaction that holds the user's row, which is made if there is none."""
    with _turn_to_write(), transaction.atomic():
        users = ChatUser.objects.select_for_update()
        try:
            user = users.get(pk=user_id)
        except ChatUser.DoesNotExist:
            ChatUser.objects.bulk_create([ChatUser(user_id=user_id)], ignore_conflicts=True)
            user = users.get(pk=user_id)
        yield user


@contextmanager
def user_locked(user_id: str) -> Iterator[None]:
    """Open a transaction that holds the user's row, if there is one, without reading it.

    SQLite's transactions (IMMEDIATE) exclude each other anyhow.
    """
    with _turn_to_write(), transaction.atomic():
        if connection.features.has_select_for_update:
            list(ChatUser.objects.select_for_update().filter(pk=user_id).values_list("pk"))
        yield


# --- SQLite ---------------------------------------------------------------------------------------


class _Queue:
    """Lets one thread after the other write, over all processes of this machine.

    SQLite has one writer at a time, and those that wait look again every now and then: with a
    hundred threads some never find it free. Here they stand in line.
    """

    def __init__(self, path: str) -> None:
        self._threads = threading.Lock()
        self._path = path
        self._file: int | None = None
        self._pid = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        with self._threads:
            descriptor = self._descriptor()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _descriptor(self) -> int:
        """Return the file of this process: one that a parent has opened is the parent's lock."""
        if self._file is None or self._pid != os.getpid():
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._pid = os.getpid()
        return self._file


_queues: dict[str, _Queue] = {}
_queues_lock = threading.Lock()


def _turn_to_write() -> AbstractContextManager[None]:
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        return nullcontext()
    path = str(connection.settings_dict["NAME"])
    if path == ":memory:" or "mode=memory" in path:
        return nullcontext()
    with _queues_lock:
        queue = _queues.setdefault(path, _Queue(f"{path}-writers"))
    return queue.turn()
