"""The lock of a user: a row in PostgreSQL, the one writer in SQLite.

Every transaction that writes more than one row of a user takes the user's row first, so none can
meet another in the opposite order. None is open while the store or the model is asked, and none
waits longer than WAIT_SECONDS to begin (common.database_limits). Rows are locked for a transaction,
never for a session: behind a pooler, the next transaction may meet another one.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from django.db import OperationalError, connection, transaction

from chat.models import ChatUser
from common.database_busy import DatabaseBusy
from common.statements import Parameter, Select

_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL

_USER_FOR_UPDATE = Select(
    lambda: ChatUser.objects.select_for_update().filter(user_id=Parameter("user_id"))
)


@contextmanager
def user_transaction(user_id: str) -> Iterator[ChatUser]:
    """Open a transaction that holds the user's row, which is made if there is none.

    Raises:
        DatabaseBusy: others have held it for too long.
    """
    with transaction.atomic():
        yield _locked_row(user_id)


@contextmanager
def user_locked(user_id: str, *, may_be_lost: bool = False) -> Iterator[None]:
    """Open a transaction that holds the user's lock, without reading the row.

    Args:
        user_id: whose.
        may_be_lost: don't wait until the commit is on disk. A power cut may undo it then, as if
            the process had died before it; never one commit alone that others came after.

    Raises:
        DatabaseBusy: others have held it for too long.
    """
    with _unsynced() if may_be_lost else nullcontext(), transaction.atomic():
        if connection.vendor == "postgresql" and may_be_lost:
            _execute("SET LOCAL synchronous_commit = off")
        # SQLite's transactions (IMMEDIATE) exclude each other anyhow.
        if connection.features.has_select_for_update:
            _locked_row(user_id)
        yield


@contextmanager
def busy_if_locked() -> Iterator[None]:
    """Raise DatabaseBusy where a row was locked by others for too long.

    For the one statement of a write that needs no lock of its user.
    """
    try:
        yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
            raise DatabaseBusy from error
        raise


def _locked_row(user_id: str) -> ChatUser:
    with busy_if_locked():
        if row := _USER_FOR_UPDATE.first(user_id=user_id):
            return row
        ChatUser.objects.bulk_create([ChatUser(user_id=user_id)], ignore_conflicts=True)
        (row,) = _USER_FOR_UPDATE.rows(user_id=user_id)
        return row


@contextmanager
def _unsynced() -> Iterator[None]:
    """Let SQLite not sync the commit of the transaction inside; the next synced one takes it along.

    A connection that could not be put back is closed: the next one begins as the settings say.
    """
    # Within a transaction SQLite ignores the pragma.
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


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
