"""How long a database's lock is waited for, and the error when that was too short."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError

from common.errors import ServiceError

WAIT_SECONDS = 5.0

_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL


class DatabaseBusy(ServiceError, OperationalError):
    """Others have held a lock of the database for longer than WAIT_SECONDS; nothing was written."""

    code = "busy"
    detail = "Too much is being written right now. Try again."


@contextmanager
def busy_if_locked() -> Iterator[None]:
    """Raise DatabaseBusy where others have held a row of PostgreSQL for too long."""
    try:
        yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
            raise DatabaseBusy from error
        raise
