"""The audit: who wrote, deleted, read or exported which key, and when; never the value.

Each connector has a Redis stream, bounded by AUDIT_MAX_ENTRIES and AUDIT_MAX_AGE_SECONDS. The
script that writes or deletes a value also adds the entry; this module adds the others.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django_redis import get_redis_connection
from redis.exceptions import OutOfMemoryError

from connector_state.errors import Unavailable
from connector_state.store.keys import Address, connector_keys

logger = logging.getLogger(__name__)

PAGE = 500
OPERATIONS = ("put", "expire", "delete", "erase", "read", "export", "compare")
FILTERS = ("operation", "by", "namespace", "key")
LOOKED_AT = 2000  # entries of the connector, to find those of one key


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry of the audit.

    `operation` is one of OPERATIONS: `expire` sets an expiry, `erase` deletes a value with its
    history, `compare` compares values with a file to import. `by` is a key id, or operator:NAME.
    `export` and `compare` have no key; `namespace` is empty when they concern all namespaces.
    `size`, in bytes, and `etag` are of the value that was written or deleted. `address` is the
    client's, "" where it is not known.
    """

    id: str
    at: datetime
    operation: str
    by: str
    namespace: str
    key: str
    size: int
    etag: str
    address: str

    def matches(self, wanted: Mapping[str, str]) -> bool:
        """Tell whether the fields named in `wanted` (some of FILTERS) have these values."""
        return all(getattr(self, name) == value for name, value in wanted.items())


# `client`, below, is the operator's address; "" at the command line.


def record_read(connector_uuid: str, username: str, address: Address, client: str = "") -> None:
    """Record that an operator reads a value. Call it before the value is shown.

    Raises:
        redis.exceptions.RedisError, Unavailable: it can't be recorded; do not show the value.
    """
    _record(connector_uuid, username, "read", address.member, client)


def record_export(
    connector_uuid: str, username: str, namespace: str | None, client: str = ""
) -> None:
    """Record that an operator exports the values of a namespace, or of all (None).

    Raises:
        redis.exceptions.RedisError, Unavailable: it can't be recorded; export nothing.
    """
    _record(connector_uuid, username, "export", f"{namespace}:" if namespace else "", client)


def record_comparison(connector_uuid: str, username: str, client: str = "") -> None:
    """Record that an operator compares a file with the values, which lets values be guessed.

    Raises:
        redis.exceptions.RedisError, Unavailable: it can't be recorded; compare nothing.
    """
    _record(connector_uuid, username, "compare", "", client)


def _record(connector_uuid: str, username: str, operation: str, member: str, client: str) -> None:
    stream, by = connector_keys(connector_uuid).named("audit"), f"operator:{username}"
    entry = {"op": operation, "by": by, "member": member, "size": 0, "etag": "", "address": client}
    try:
        get_redis_connection().xadd(stream, entry, maxlen=settings.AUDIT_MAX_ENTRIES)
    except OutOfMemoryError as error:
        raise Unavailable(
            "The state store is full, so it can't be recorded who looks at values.",
            code="store_full",
        ) from error
    # In the log too: a connector's own writes push entries out of the stream.
    logger.info("%s: %s %s of connector %s", by, operation, member or "all", connector_uuid)


def entries(
    connector_uuid: str, since: datetime | None = None, before_id: str = "+"
) -> Iterator[AuditEntry]:
    """Yield a connector's entries, newest first, up to AUDIT_MAX_AGE_SECONDS old.

    Args:
        since: leave out older entries.
        before_id: yield only entries older than this one ("+": from the newest on).

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    oldest = time.time() - settings.AUDIT_MAX_AGE_SECONDS
    least = str(int(max(oldest, since.timestamp() if since else 0) * 1000))
    stream = connector_keys(connector_uuid).named("audit")
    newest = before_id if before_id == "+" else f"({before_id}"
    while True:
        page = get_redis_connection().xrevrange(stream, newest, least, count=PAGE)
        for entry_id, fields in page:
            yield _entry(entry_id.decode(), {k.decode(): v.decode() for k, v in fields.items()})
        if len(page) < PAGE:
            return
        newest = f"({page[-1][0].decode()}"


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A page of entries, newest first. The next page begins after `last` (None: no next page).

    `last` was looked at last, and need not be one of `entries`.
    """

    entries: list[AuditEntry]
    last: AuditEntry | None


def page(
    connector_uuid: str,
    wanted: Mapping[str, str],
    before_id: str,
    limit: int = 100,
    examine: int = 10_000,
) -> AuditPage:
    """Return up to `limit` entries that match, from at most `examine` entries of the connector."""
    found: list[AuditEntry] = []
    last = None
    for examined, entry in enumerate(entries(connector_uuid, before_id=before_id)):
        matches = entry.matches(wanted)
        if examined == examine or (matches and len(found) == limit):
            return AuditPage(found, last)
        if matches:
            found.append(entry)
        last = entry
    return AuditPage(found, None)


def entries_of(connector_uuid: str, address: Address, most: int) -> list[AuditEntry]:
    """Return the newest entries of one key, from the connector's LOOKED_AT newest ones."""
    wanted = {"namespace": address.namespace, "key": address.key}
    return page(connector_uuid, wanted, "+", most, LOOKED_AT).entries


def _entry(entry_id: str, fields: dict[str, str]) -> AuditEntry:
    namespace, _, key = fields["member"].partition(":")
    return AuditEntry(
        id=entry_id,
        at=datetime.fromtimestamp(int(entry_id.partition("-")[0]) / 1000, UTC),
        operation=fields["op"],
        by=fields["by"],
        namespace=namespace,
        key=key,
        size=int(fields["size"]),
        etag=fields["etag"],
        address=fields.get("address", ""),  # older entries have none
    )
