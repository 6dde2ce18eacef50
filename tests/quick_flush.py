"""Empties the database after a test without what Django's flush does besides.

By itself Django makes content types and permissions once more after each test that commits, which
takes longer than most of those tests.
"""

from typing import Any

from django.core.management.color import no_style
from django.db import connection
from django.test import TransactionTestCase

Rows = dict[str, list[Any]]

_flush = TransactionTestCase._fixture_teardown
_kept: Rows | None = None  # of a flushed database, by table: what Django has made there by itself


def fixture_teardown(case: TransactionTestCase) -> None:
    """Leave the database as a flush leaves it; a test that changed what it keeps costs a flush."""
    global _kept
    if case.available_apps is not None:  # then its flush is of few tables, and makes nothing
        _flush(case)
        return
    if _kept is None or _rows(_kept) != _kept:
        _flush(case)
        _kept = {table: rows for table, rows in _rows(_tables()).items() if rows}
        return
    emptied = [table for table in _tables() if table not in _kept]
    connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), emptied))


def _tables() -> list[str]:
    return connection.introspection.django_table_names(only_existing=True, include_views=False)


def _rows(tables: Any) -> Rows:
    found: Rows = {}
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)} ORDER BY 1")
            found[table] = cursor.fetchall()
    return found
