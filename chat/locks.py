"""The one lock of the database: a user's row.

Every transaction that writes more than one row of a user takes it first, so none can meet another
in the opposite order. None is open while the store or the model is asked.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from chat.models import ChatUser


@contextmanager
def user_transaction(user_id: str) -> Iterator[ChatUser]:
    """Open a transaction that holds the user's row, which is made if there is none."""
    with transaction.atomic():
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
    with transaction.atomic():
        if connection.features.has_select_for_update:
            list(ChatUser.objects.select_for_update().filter(pk=user_id).values_list("pk"))
        yield
