"""Credentials as the database has them: what changed, and the rows of some key ids.

Plain SQL: the ORM costs fifteen times what the statement does. No prepared statement and no
cursor of the server's, which a pooler would lose.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import Error, connection

from connector_state.credentials import encryption
from connector_state.credentials.entries import LiveCredential
from connector_state.models import Connector
from connector_state.store.policy import Policy

Row = tuple[Any, ...]

NEVER = 2**62  # no change has such a number

# One statement, so one snapshot: each change up to `number` is in it.
_CHANGES = """
SELECT counter.number, change.connector_uuid
FROM connector_state_changecounter counter
LEFT JOIN connector_state_credentialchange change ON change.number > %s
"""

_ISSUED = """
SELECT credential.key_id, credential.encrypted_secret, credential.expires_at,
    CASE WHEN credential.revoked_at IS NULL AND connector.enabled THEN 1 ELSE 0 END, connector.uuid,
    connector.read_only, connector.allowed_namespaces, connector.max_requests_per_second,
    connector.max_keys, connector.max_bytes
FROM connector_state_credential credential
JOIN connector_state_connector connector ON connector.uuid = credential.connector_id
WHERE credential.key_id IN ({})
"""


def changes_since(position: int | None) -> tuple[int, set[str] | None]:
    """Return where the log stands, and the UUIDs of the connectors that changed since `position`.

    None for them: the log does not go back so far, or is another one; anything may have changed.

    Raises:
        django.db.Error: the database did not answer.
    """
    rows = _fetch(_CHANGES, [NEVER if position is None else position])
    number: int = rows[0][0] if rows else 0
    changes = [uuid for _, uuid in rows if uuid is not None]
    # Numbers have no gaps.
    if position is None or len(changes) != number - position:
        return number, None
    return number, {_uuid(value) for value in changes}


def read(key_ids: Sequence[str]) -> list[Row]:
    """Return a row for each key id that was issued here, live or not.

    Raises:
        django.db.Error: the database did not answer.
    """
    return _fetch(_ISSUED.format(", ".join(["%s"] * len(key_ids))), key_ids)


def credential_of(row: Row) -> LiveCredential | None:
    """Return the credential in a row of `read`; None if it is revoked, or its connector disabled.

    Raises:
        Unavailable: its secret can't be decrypted.
    """
    key_id, secret, expires_at, is_open, uuid, read_only, namespaces, rate, keys, size = row
    if not is_open:
        return None
    connector = Connector(
        read_only=bool(read_only),
        allowed_namespaces=namespaces,
        max_requests_per_second=rate,
        max_keys=keys,
        max_bytes=size,
    )
    return LiveCredential(
        key_id=key_id,
        secret=encryption.decrypt(secret).encode(),
        connector_uuid=_uuid(uuid),
        expires_at=_timestamp(expires_at),
        policy=Policy.of(connector),
    )


def _fetch(sql: str, parameters: Sequence[Any]) -> list[Row]:
    try:
        return _fetch_once(sql, parameters)
    except Error:
        # The connection may have died long ago, of a database that is there: only the next one
        # says that it is not.
        return _fetch_once(sql, parameters)


def _fetch_once(sql: str, parameters: Sequence[Any]) -> list[Row]:
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[Row] = cursor.fetchall()
    return rows


# SQLite has neither UUIDs nor times: Django keeps both as text.


def _uuid(value: UUID | str) -> str:
    return str(value if isinstance(value, UUID) else UUID(value))


def _timestamp(value: datetime | str | None) -> float | None:
    if isinstance(value, str):
        value = datetime.fromisoformat(value).replace(tzinfo=UTC)
    return value.timestamp() if value else None
