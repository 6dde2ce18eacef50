"""Earlier versions of values: what a write replaced or a deletion took away.

The script that writes a value keeps the one that it replaces (scripts/remember.lua): the last
STATE_KEEP_VERSIONS of each key, and the one with which each of the last STATE_KEEP_DAYS days ended,
at most STATE_HISTORY_MAX_BYTES a connector (docs/decisions/0012).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django_redis import get_redis_connection

from connector_state.store.calls import Caller, call
from connector_state.store.connection import Argument
from connector_state.store.keys import Address, connector_keys
from connector_state.store.scripts import Script
from connector_state.store.values import VERSIONS, version_arguments

UNKNOWN = "?"  # who wrote a value that came from another program

_PRUNE = Script("admit", "history", "index", "prune_history")


@dataclass(frozen=True, slots=True)
class Version:
    """An earlier value of a key, without its bytes.

    `written_at` is None and `by` UNKNOWN where another program wrote it; `by` is a key id or
    operator:NAME. `size` is in bytes. `expires_at` is None for a value that would never end.
    """

    etag: str
    size: int
    by: str
    written_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class History:
    """The earlier versions of a key, newest first, each value once and without the current one.

    `deleted_at` is when the key was deleted; None if it has a value, or never had one.
    """

    versions: list[Version]
    deleted_at: datetime | None


def history_of(connector_uuid: str, caller: Caller, address: Address) -> History:
    """Return the earlier versions of a key.

    Raises:
        Unavailable: Redis did not answer.
    """
    member = address.member
    deleted, *rows = call(VERSIONS, connector_uuid, caller, version_arguments(member, ""), [member])
    versions = [
        Version(etag.decode(), size, by.decode(), _moment(at), _moment(expires))
        for at, etag, size, expires, by in zip(*[iter(rows)] * 5, strict=True)
    ]
    return History(versions, _moment(int(deleted or 0)))


def prune(connector_uuid: str, username: str) -> Iterator[int]:
    """Forget the versions of keys deleted STATE_KEEP_DAYS ago, and of values that have expired.

    Yields:
        The number of keys concerned, after each part of the history.
    """
    cursor = b"0"
    while True:
        arguments: list[Argument] = [cursor, max(settings.STATE_KEEP_DAYS, 1)]
        cursor, pruned = call(_PRUNE, connector_uuid, Caller.operator(username), arguments)
        yield pruned
        if cursor == b"0":
            return


def bytes_of(connector_uuid: str) -> int:
    """Return the bytes of all versions that a connector's history holds.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    history = connector_keys(connector_uuid).named("history")
    return int(get_redis_connection().hget(history, "\0bytes") or 0)


def _moment(milliseconds: int) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
