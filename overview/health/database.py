"""Whether the database is one that calls can use: migrated, writable, and encoded in UTF-8."""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import connection

from common.database.limits import missing_limits
from common.findings import Finding, Unfit

APPS = ("chat", "connector_state")  # without whose tables calls fail
TABLES_NAMED = 3

# All in one statement: /readyz is asked often. No row is read, and no lock is waited for.
_OF_POSTGRESQL = """
    WITH needed AS (
        SELECT name, to_regclass(quote_ident(name)) AS id FROM unnest(%s::text[]) AS name)
    SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on', current_user,
        current_setting('server_encoding'),
        ARRAY(SELECT name FROM needed WHERE id IS NULL),
        ARRAY(SELECT name FROM needed WHERE NOT (
            has_table_privilege(id, 'SELECT') AND has_table_privilege(id, 'INSERT')
            AND has_table_privilege(id, 'UPDATE') AND has_table_privilege(id, 'DELETE')))
"""


def examine() -> Finding:
    """Return what the database is, and what is wrong with it.

    Raises:
        Unfit: it takes no writes, or tables are missing.
        django.db.Error: it did not answer.
    """
    with connection.cursor() as cursor:
        dangers = tuple(
            _ask_postgresql(cursor) if connection.vendor == "postgresql" else _ask_sqlite(cursor)
        )
    version = ".".join(str(part) for part in connection.get_database_version())
    missing = missing_limits(connection)
    problems = (missing,) if missing else ()
    return Finding(f"{connection.display_name} {version}", dangers, problems)


def _ask_postgresql(cursor: Any) -> Iterator[str]:
    cursor.execute(_OF_POSTGRESQL, [_tables()])
    is_replica, is_read_only, role, encoding, missing, forbidden = cursor.fetchone()
    _require_tables(missing)
    if is_replica:
        raise Unfit("It is a replica, which takes no writes: DATABASE_URL must name the primary.")
    if is_read_only:
        raise Unfit("It takes no writes: default_transaction_read_only is on.")
    if forbidden:
        raise Unfit(f"The role {role} may not read and write {_named(forbidden)}.")
    if encoding != "UTF8":
        # Not unfit: what fits the encoding is kept, so workers stay ready.
        yield (
            f"Its encoding is {encoding}, not UTF8: messages with other characters are refused. "
            "Move it to a database that was created with ENCODING 'UTF8'."
        )


def _ask_sqlite(cursor: Any) -> Iterator[str]:
    there = set(connection.introspection.table_names(cursor))
    _require_tables([name for name in _tables() if name not in there])
    return iter(())


def _tables() -> list[str]:
    """Return the tables that calls use. Columns don't count.

    Old workers go on beside newer migrations, and those only add.
    """
    models = (model for app in APPS for model in apps.get_app_config(app).get_models())
    return sorted({model._meta.db_table for model in models if model._meta.managed})


def _require_tables(missing: list[str]) -> None:
    if missing:
        raise Unfit(f"It is not migrated ({_named(missing)} missing): run manage.py migrate.")


def _named(tables: list[str]) -> str:
    more = "" if len(tables) <= TABLES_NAMED else " and others"
    return ", ".join(tables[:TABLES_NAMED]) + more
