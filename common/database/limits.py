"""What a connection to PostgreSQL keeps for itself: its time limits, and prepared statements.

And the isolation of statements outside of transactions (BEGIN has its own, config.env.database): a
database may have another default, under which rows that others change are errors.

Behind a pooler it can't: what one client sets is then met by others, and another transaction of
ours meets another server connection. There nothing is prepared, the limits have to be the role's,
and `missing_limits` says whether they are.
"""

import logging
from typing import Any

from django.conf import settings
from psycopg import IsolationLevel

from common.database.busy import WAIT_SECONDS

logger = logging.getLogger(__name__)

PREPARED_AFTER = 3  # executions by a connection: one that is short-lived prepares nothing

_ISOLATION = "default_transaction_isolation"

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
        f"ALTER ROLE {role} SET {name} = {value if value.isdecimal() else repr(value)};"
        for (name, value), is_set in zip(wanted.items(), found, strict=True)
        # Another limit may be the operator's choice; another isolation is a mistake.
        if (is_set != value if name == _ISOLATION else value != "0" and is_set == "0")
    ]
    if pid == _pid_of(connection) or not statements:
        return ""
    return f"Behind a pooler the role has to have limits: {' '.join(statements)}"


def _sets(connection: Any) -> bool:
    """Set the limits, if no pooler is in between; return whether that is so."""
    wanted = _wanted(connection)
    columns = ", ".join(["set_config(%s, %s, false)"] * len(wanted))
    values = [word for setting in wanted.items() for word in setting]
    with connection.cursor() as cursor:
        # Poolers make up the number of the server's process that they tell libpq.
        cursor.execute(
            f"SELECT {columns} WHERE pg_backend_pid() = %s", [*values, _pid_of(connection)]
        )
        return cursor.fetchone() is not None


def _wanted(connection: Any) -> dict[str, str]:
    """Return the settings, without what the options of DATABASE_URL set; limits in milliseconds."""
    wanted = {
        "lock_timeout": str(int(1000 * WAIT_SECONDS)),
        "statement_timeout": str(1000 * settings.DATABASE_STATEMENT_TIMEOUT_SECONDS),
        _ISOLATION: "read committed",
    }
    options = connection.settings_dict["OPTIONS"]
    if level := options.get("isolation_level"):
        wanted[_ISOLATION] = IsolationLevel(level).name.replace("_", " ").lower()
    given = str(options.get("options", ""))
    return {name: value for name, value in wanted.items() if name not in given}


def _pid_of(connection: Any) -> int:
    pid: int = connection.connection.info.backend_pid
    return pid
