"""`manage.py migrate`: Django's, one at a time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.commands import migrate
from django.db import connections

# Of PostgreSQL's advisory locks of this database: "statekee" as a number.
LOCK = int.from_bytes(b"statekee")
LOOK_SECONDS = 0.5


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate; first wait until another `migrate` of this database has ended.

        Servers that start together, each with its own `migrate`, would meet in the same tables.
        """
        with self._alone(options["database"]):
            super().handle(*args, **options)

    @contextmanager
    def _alone(self, alias: str) -> Iterator[None]:
        if connections[alias].vendor != "postgresql":
            yield  # SQLite lets one write at a time
            return
        # A connection of its own, as each migration ends a transaction, and with that such a lock.
        # Behind a pooler a lock of the session would stay with a connection that others get.
        own = connections[alias].copy()
        try:
            if not _is_locked(own):
                self.stderr.write("Another migrate is at work: this one waits until it has ended.")
                while not _is_locked(own):
                    time.sleep(LOOK_SECONDS)
            yield
        finally:
            own.close()  # which ends the transaction


def _is_locked(own: Any) -> bool:
    """Take the lock, unless another has it: waiting would keep one of a pooler's connections."""
    own.set_autocommit(False)
    with own.cursor() as cursor:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        (is_locked,) = cursor.fetchone()
    if not is_locked:
        own.rollback()
        own.set_autocommit(True)
    return bool(is_locked)
