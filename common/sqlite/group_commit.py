"""Group commit: what several threads want to write at one time goes into one transaction of SQLite.

SQLite carries out one transaction after the other, and each costs more than what it writes: BEGIN,
COMMIT, a sync of the disk, and the handing over to a thread that has to wake up. So one thread
leads: in its transaction it does what the others wait to do, too.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db import connection, transaction

from common.database import busy
from common.database.busy import DatabaseBusy
from common.sqlite.queue import waiting_until

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Write:
    """What a thread wants to write. `leads`: the next group, by this thread."""

    call: Callable[[], Any]
    may_be_lost: bool
    context: Context = field(default_factory=copy_context)
    give_up_at: float = field(default_factory=lambda: time.monotonic() + busy.WAIT_SECONDS)
    woken: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    is_done: bool = False
    result: Any = None


class GroupCommit:
    """The writes of this process to one database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Write] = []
        self._is_led = False

    def run(
        self, call: Callable[[], T], *, may_be_lost: bool = False, is_one_statement: bool = False
    ) -> T:
        """Call it in a transaction, together with what waits; return what it returns.

        Args:
            call: may be called by another thread. If anything in the transaction fails, nothing of
                it is written, and each is called again in a transaction of its own.
            may_be_lost: see `_unsynced`.
            is_one_statement: it needs no BEGIN and no COMMIT where nobody else writes.

        Raises:
            DatabaseBusy: the turn to write did not come within WAIT_SECONDS.
            Exception: what `call` raises.
        """
        mine = _Write(call, may_be_lost)
        with self._lock:
            mine.leads, self._is_led = not self._is_led, True
            by_itself = mine.leads and is_one_statement
            if not by_itself:
                self._waiting.append(mine)
        if by_itself:
            try:
                return call()
            finally:
                self._hand_over(mine, [])
        if not mine.leads:
            self._wait(mine)
        if mine.leads:
            self._lead(mine)
        if not mine.is_done:
            with transaction.atomic():
                return call()
        result: T = mine.result
        return result

    def _wait(self, mine: _Write) -> None:
        """Wait until it is written, failed, or leads."""
        if mine.woken.wait(mine.give_up_at - time.monotonic()):
            return
        with self._lock:
            if mine in self._waiting and not mine.leads:
                self._waiting.remove(mine)
                raise DatabaseBusy
        mine.woken.wait()  # it is in a transaction, or about to lead

    def _lead(self, mine: _Write) -> None:
        """Write it with what waits. What fails beside others is left undone, with the others."""
        group = [mine]
        try:
            with self._lock:
                may_be_lost = all(write.may_be_lost for write in self._waiting)
            with _unsynced() if may_be_lost else nullcontext():
                with waiting_until(mine.give_up_at), transaction.atomic():
                    group = self._take(may_be_lost)
                    results = [write.context.run(write.call) for write in group]
                for write, result in zip(group, results, strict=True):
                    write.result, write.is_done = result, True
        except Exception:
            if len(group) == 1:
                raise
        finally:
            self._hand_over(mine, group)

    def _take(self, may_be_lost: bool) -> list[_Write]:
        """Take what waits, into a commit that may be lost nothing that may not."""
        with self._lock:
            group = [write for write in self._waiting if write.may_be_lost or not may_be_lost]
            self._waiting = [write for write in self._waiting if write not in group]
        return group

    def _hand_over(self, mine: _Write, group: list[_Write]) -> None:
        """Let the first that waits lead; wake the group."""
        with self._lock:
            if mine in self._waiting:  # the transaction did not begin
                self._waiting.remove(mine)
            following = self._waiting[:1]
            self._is_led = bool(following)
            for write in following:
                write.leads = True
        for write in following + group:
            write.woken.set()


@contextmanager
def _unsynced() -> Iterator[None]:
    """Let SQLite not sync the commit of the transaction inside; the next synced one takes it along.

    A connection that could not be put back is closed: the next one begins as the settings say.
    """
    _execute("PRAGMA synchronous = NORMAL")  # SQLite ignores it within a transaction
    try:
        yield
    finally:
        try:
            _execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


_groups: dict[str, GroupCommit] = {}

# A child has its own threads, and none of them leads.
os.register_at_fork(after_in_child=_groups.clear)


def own_group() -> GroupCommit | None:
    """Return this process's group for the database; None in a transaction, and if it has none."""
    own: Any = connection
    if own.vendor != "sqlite" or own.in_atomic_block or own.is_in_memory_db():
        return None
    # setdefault is atomic: two threads get the same group.
    return _groups.setdefault(str(own.settings_dict["NAME"]), GroupCommit())
