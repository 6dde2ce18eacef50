"""Earlier versions of values: what a write replaced or a deletion took away.

The script that writes a value keeps the one that it replaces (scripts/remember.lua): the last
STATE_KEEP_VERSIONS of each key, and the one with which each of the last STATE_KEEP_DAYS days ended,
at most STATE_HISTORY_MAX_BYTES a connector (docs/decisions/0012).
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django_redis import get_redis_connection

from connector_state.store.calls import Caller, call
from connector_state.store.keys import Address, connector_keys
from connector_state.store.scripts import Script
from connector_state.store.scripts.connection import Argument
from connector_state.store.values import VERSIONS, version_arguments

UNKNOWN = "?"  # who wrote a value that came from another program

# As scripts/history.lua has them: the fields that are logs, and the ETag of a deletion.
LOGS, DELETED = b"[^\0]*", b"-" * 40

SCANNED_AT_ONCE = 1000
ENOUGH_FOUND = 100
SECONDS_AT_MOST = 0.12  # of the 200 ms that a page may take

_PRUNE = Script("admit", "history", "index", "ended", "prune_history")


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
    """Forget the versions of values that were deleted, or have expired, STATE_KEEP_DAYS ago.

    Where the settings keep none any more, forget all. Of a value that has expired, those that have
    expired too go at once.

    Yields:
        The number of keys that have none any more, after each part of the history.
    """
    cursor = b"0"
    is_off = not (settings.STATE_KEEP_VERSIONS or settings.STATE_KEEP_DAYS)
    days = -1 if is_off else max(settings.STATE_KEEP_DAYS, 1)
    while True:
        arguments: list[Argument] = [cursor, days]
        cursor, pruned = call(_PRUNE, connector_uuid, Caller.operator(username), arguments)
        yield pruned
        if cursor == b"0":
            return


@dataclass(frozen=True, slots=True)
class DeletedKey:
    """A key that was deleted, of which earlier values are kept.

    `by` is as in Version, or "its TTL" where the value ended with it.
    """

    address: Address
    deleted_at: datetime
    by: str


def find_deleted(connector_uuid: str, cursor: int = 0) -> tuple[list[DeletedKey], int]:
    """Search a part of a connector's history for deleted keys.

    A step ends when it has found ENOUGH_FOUND keys, or after SECONDS_AT_MOST.

    Returns:
        The keys, newest first, and where the next step begins; 0: the search is complete.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    history = connector_keys(connector_uuid).named("history")
    found: dict[bytes, DeletedKey] = {}  # HSCAN may name a field twice
    give_up_at = time.monotonic() + SECONDS_AT_MOST
    while True:
        cursor, logs = get_redis_connection().hscan(history, cursor, LOGS, SCANNED_AT_ONCE)
        for member, log in logs.items():
            newest, _, versions = log.partition(b"\n")
            at, etag, _, _, by = newest.split(b" ", 4)
            if etag == DELETED and versions:
                address = Address.from_member(member.decode())
                deleted_at = datetime.fromtimestamp(int(at) / 1000, UTC)
                found[member] = DeletedKey(address, deleted_at, by.decode())
        if cursor == 0 or len(found) >= ENOUGH_FOUND or time.monotonic() >= give_up_at:
            newest_first = sorted(found.values(), key=lambda key: key.deleted_at, reverse=True)
            return newest_first, cursor


def _moment(milliseconds: int) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
