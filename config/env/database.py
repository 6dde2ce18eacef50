"""Django's DATABASES, from a URL: no connection and no statement is waited for without end."""

from collections.abc import Sequence
from typing import Any

import dj_database_url
from django.core.checks import CheckMessage, Error
from django.db import connections
from psycopg import IsolationLevel

from common.database.busy import WAIT_SECONDS

CONNECTION_SECONDS_MAX = 60  # that one is kept for the next request


def configuration(
    url: str, *, connect_timeout_seconds: int, statement_timeout_seconds: int
) -> dict[str, Any]:
    """Return DATABASES["default"].

    Args:
        url: sqlite:///PATH or postgresql://…; options in its query win over those from here.
        connect_timeout_seconds: until PostgreSQL has to have taken a connection.
        statement_timeout_seconds: until a PostgreSQL that is cut off counts as gone; 0: any time.
            common.database.limits limits the statements.
    """
    database: dict[str, Any] = dict(
        dj_database_url.parse(
            url,
            conn_max_age=CONNECTION_SECONDS_MAX,
            conn_health_checks=True,
            # A pooler would lose them, and no query of ours is large enough to need one.
            disable_server_side_cursors=True,
        )
    )
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database["ENGINE"] = "common.sqlite"
        options: dict[str, Any] = {
            "transaction_mode": "IMMEDIATE",
            # Of writers that don't stand in the queue: other programs, and migrations.
            "timeout": WAIT_SECONDS,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        }
    else:
        options = {
            "connect_timeout": connect_timeout_seconds,
            # Whatever the database's own default is; it goes with BEGIN, through poolers too.
            "isolation_level": IsolationLevel.READ_COMMITTED,
            # What was sent and not acknowledged, and a peer that is silent: libpq by itself would
            # wait for as long as the system's TCP does, up to hours.
            "tcp_user_timeout": 1000 * statement_timeout_seconds,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
        }
    database["OPTIONS"] = options | database.get("OPTIONS", {})
    return database


def check_encoding(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Refuse to migrate a database that can't keep every character of a message."""
    errors: list[CheckMessage] = []
    for connection in (connections[name] for name in databases or ()):
        if connection.vendor != "postgresql":
            continue
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_encoding")
            (encoding,) = cursor.fetchone()
        if encoding != "UTF8":
            errors.append(
                Error(
                    f"The database's encoding is {encoding}: it can't keep all characters.",
                    hint="Create it with ENCODING 'UTF8' TEMPLATE template0.",
                    id="statekeep.E001",
                )
            )
    return errors
