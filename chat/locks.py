"""The lock of a user: a row in PostgreSQL, the one writer in SQLite.

Every transaction that writes more than one row of a user takes the user's row first, so none can
meet another in the opposite order. None is open while the store or the model is asked, and none
waits longer than WAIT_SECONDS to begin (common.database.limits). Rows are locked for a transaction,
never for a session: behind a pooler, the next transaction may meet another one.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from chat.models import ChatUser
from common.database.busy import busy_if_locked
from common.database.statements import Parameter, Select

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
        yield user_for_update(user_id)


@contextmanager
def user_locked(user_id: str) -> Iterator[None]:
    """Open a transaction that holds the user's lock, without reading the row.

    Raises:
        DatabaseBusy: others have held it for too long.
    """
    with transaction.atomic():
        lock_user(user_id)
        yield


def lock_user(user_id: str) -> None:
    """Take the user's lock, in a transaction. SQLite's (IMMEDIATE) exclude each other anyhow."""
    if connection.features.has_select_for_update:
        user_for_update(user_id)


def user_for_update(user_id: str) -> ChatUser:
    """Return the user's row, locked for the transaction, and made if there is none."""
    with busy_if_locked():
        if row := _USER_FOR_UPDATE.first(user_id=user_id):
            return row
        ChatUser.objects.bulk_create([ChatUser(user_id=user_id)], ignore_conflicts=True)
        (row,) = _USER_FOR_UPDATE.rows(user_id=user_id)
        return row
