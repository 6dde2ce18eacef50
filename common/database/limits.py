"""What a connection to PostgreSQL keeps for itself: its time limits, and prepared statements.

Behind a pooler it can't: what one client sets is then met by others, and another transaction of
ours meets another server connection. There nothing is prepared, the limits have to be the role's,
and `missing_limits` says whether they are.
"""

import logging
from typing import Any

from django.conf import settings

from common.database.busy import WAIT_SECONDS

logger = logging.getLogger(__name__)

PREPARED_AFTER = 3  # executions by a connection: one that is short-lived prepares nothing

_warned = False


def set_up(connection: Any, **_: Any) -> None:
    """Set limits in a new PostgreSQL connection and let it prepare, if no pooler is in between."""
    global _warned
    if connection.vendor != "postgresql":
        return
    if _sets(connection):
        connection.connection.prepare_threshold = PREPARED_AFTER
    elif not _warned and (missing := missing_limits(connection)):
        _warned = True
        logger.warning("Database: %s", missing)


def prepares_statements(connection: Any) -> bool:
    """Whether the connection may prepare statements; one that `set_up` did not see may not."""
    is_postgresql: bool = connection.vendor == "postgresql"
    return is_postgresql and connection.connection.prepare_threshold is not None


def missing_limits(connection: Any) -> str:
    """Return what to do about limits that are missing behind a pooler; "" if none is."""
    wanted = _wanted(connection)
    if connection.vendor != "postgresql" or not wanted:
        return ""
    with connection.cursor() as cursor:
        shown = ", ".join(["current_setting(%s)"] * len(wanted))
        cursor.execute(f"SELECT pg_backend_pid(), quote_ident(current_user), {shown}", [*wanted])
        pid, role, *found = cursor.fetchone()
    statements = [
        f"ALTER ROLE {role} SET {name} = {milliseconds};"
        for (name, milliseconds), value in zip(wanted.items(), found, strict=True)
        if milliseconds and value == "0"
    ]
    if pid == _pid_of(connection) or not statements:
        return ""
    return f"Behind a pooler the role has to have limits: {' '.join(statements)}"


def _sets(connection: Any) -> bool:
    """Set the limits, if no pooler is in between; return whether that is so."""
    wanted = _wanted(connection)
    columns = ", ".join(["set_config(%s, %s, false)"] * len(wanted))
    values = [value for name, limit in wanted.items() for value in (name, str(limit))]
    with connection.cursor() as cursor:
        # Poolers make up the number of the server's process that they tell libpq.
        cursor.execute(
            f"SELECT {columns} WHERE pg_backend_pid() = %s", [*values, _pid_of(connection)]
        )
        return cursor.fetchone() is not None


def _wanted(connection: Any) -> dict[str, int]:
    """Return the limits in milliseconds, without what the options of DATABASE_URL set."""
    limits = {
        "lock_timeout": int(1000 * WAIT_SECONDS),
        "statement_timeout": 1000 * settings.DATABASE_STATEMENT_TIMEOUT_SECONDS,
    }
    given = str(connection.settings_dict["OPTIONS"].get("options", ""))
    return {name: limit for name, limit in limits.items() if name not in given}


def _pid_of(connection: Any) -> int:
    pid: int = connection.connection.info.backend_pid
    return pid
