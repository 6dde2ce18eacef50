"""Django's SQLite backend, whose writers stand in a queue. Domain code needs to know nothing of it.

A transaction is in the queue from its BEGIN (IMMEDIATE, so that it is a writer from then on) to its
end, a single statement that writes for as long as it runs. Reads outside of transactions never
wait, nor do databases in memory, which other processes can't reach.
"""

from collections.abc import Callable
from typing import Any

from django.db.backends.sqlite3 import base

from common.sqlite.queue import WriterQueue, queue_of

# What the ORM writes with. Anything else that writes (DDL, say) waits as SQLite does by itself.
_WRITES = ("BEGIN", "INSERT", "UPDATE", "DELETE", "REPLACE")


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection whose writes wait for their turn.

    Raises:
        common.database.busy.DatabaseBusy: where Django raises OperationalError, if others have
            written for too long.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._entered: WriterQueue | None = None
        # The first wrapper is the outermost: those of tests and tools see what happens in the
        # queue. BEGIN passes through it as all statements do.
        self.execute_wrappers.append(self._execute_in_queue)

    def _execute_in_queue(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        # autocommit is off in a transaction, which has entered already.
        if not self.autocommit or not sql.startswith(_WRITES) or self.is_in_memory_db():
            return execute(sql, params, many, context)
        queue = queue_of(str(self.settings_dict["NAME"]))
        queue.enter()
        self._entered = queue
        begun = False
        try:
            result = execute(sql, params, many, context)
            begun = sql.startswith("BEGIN")
        finally:
            if not begun:
                # What is left of an INSERT … RETURNING is to fetch the row and end the statement.
                self._leave_queue()
        return result

    def _leave_queue(self) -> None:
        queue, self._entered = self._entered, None
        if queue is not None:
            queue.leave()

    def _set_autocommit(self, autocommit: bool) -> None:
        """Every way out of a transaction comes through here, or through _close."""
        try:
            super()._set_autocommit(autocommit)  # type: ignore[misc]  # the stubs lack it
        finally:
            if autocommit:
                self._leave_queue()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]  # the stubs lack it
        finally:
            self._leave_queue()
