"""Transactions of the paths that are busy: on SQLite, those that wait for each other share one."""

from collections.abc import Callable
from typing import TypeVar

from django.db import connection, transaction

from common.database.busy import busy_if_locked
from common.sqlite.group_commit import own_group

T = TypeVar("T")


def in_transaction(
    write: Callable[[], T], *, may_be_lost: bool = False, is_one_statement: bool = False
) -> T:
    """Carry `write` out in a transaction; return what it returns.

    Args:
        write: another thread may call it, and after an error it may be called again.
        may_be_lost: don't wait until the commit is on disk. A power cut may undo it then, as if
            the process had died before it; never one commit alone that others came after.
        is_one_statement: it writes by one, so it needs no BEGIN where it does not share any.

    Raises:
        DatabaseBusy: others have held a lock for too long.
        Exception: what `write` raises.
    """
    if group := own_group():
        return group.run(write, may_be_lost=may_be_lost, is_one_statement=is_one_statement)
    with busy_if_locked():
        if is_one_statement:
            return write()
        with transaction.atomic():
            if connection.vendor == "postgresql" and may_be_lost:
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL synchronous_commit = off")
            return write()
