"""Who wrote, deleted or looked at what, and when: a stream per connector, never with a value.

Writes and deletes are entered by the script that makes them. The stream is bounded by
AUDIT_MAX_ENTRIES and AUDIT_MAX_AGE_SECONDS.
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
OPERATIONS = ("put", "expire", "delete", "read", "export", "compare")
FILTERS = ("operation", "by", "namespace", "key")
LOOKED_AT = 2000  # entries, for those of one key


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry. `by` is a key id, or operator:NAME.

    `operation` is one of OPERATIONS: expire is when an operator set when the value ends, compare
    is with a file that is to be imported. The last two name no key, and no namespace when it is of
    all.
    """

    id: str
    at: datetime
    operation: str
    by: str
    namespace: str
    key: str
    size: int
    etag: str

    def matches(self, wanted: Mapping[str, str]) -> bool:
        """Whether it has these values of FILTERS."""
        return all(getattr(self, name) == value for name, value in wanted.items())


def record_read(connector_uuid: str, username: str, address: Address) -> None:
    """Enter that an operator looked at a value.

    Raises:
        redis.exceptions.RedisError, Unavailable: it can't be entered; do not show the value then.
    """
    _record(connector_uuid, username, "read", address.member)


def record_export(connector_uuid: str, username: str, namespace: str | None) -> None:
    """Enter that an operator exports the values of a namespace, or of all (None).

    Raises:
        redis.exceptions.RedisError, Unavailable: it can't be entered; export nothing then.
    """
    _record(connector_uuid, username, "export", f"{namespace}:" if namespace else "")


def record_comparison(connector_uuid: str, username: str) -> None:
    """Enter that an operator compares a file with the values, which tells what they are not.

    Raises:
        redis.exceptions.RedisError, Unavailable: it can't be entered; compare nothing then.
    """
    _record(connector_uuid, username, "compare", "")


def _record(connector_uuid: str, username: str, operation: str, member: str) -> None:
    fields: dict[str, str | int] = {
        "op": operation,
        "by": f"operator:{username}",
        "member": member,
        "size": 0,
        "etag": "",
    }
    try:
        get_redis_connection().xadd(
            connector_keys(connector_uuid).named("audit"),
            fields,
            maxlen=settings.AUDIT_MAX_ENTRIES,
            approximate=True,
        )
    except OutOfMemoryError as error:
        raise Unavailable(
            "The state store is full, so it can't be recorded who looks at values.",
            code="store_full",
        ) from error
    # The connector's own writes push entries out of the stream; they can't reach the log.
    logger.info(
        "%s: %s %s of connector %s", fields["by"], operation, member or "all", connector_uuid
    )


def entries(
    connector_uuid: str, since: datetime | None = None, before_id: str = "+"
) -> Iterator[AuditEntry]:
    """Yield a connector's entries, newest first, none older than AUDIT_MAX_AGE_SECONDS.

    Args:
        since: none older than this.
        before_id: go on below the entry of this id.
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
    """Entries, newest first. When there may be more, they are older than `last`."""

    entries: list[AuditEntry]
    last: AuditEntry | None


def page(
    connector_uuid: str,
    wanted: Mapping[str, str],
    before_id: str,
    limit: int = 100,
    examine: int = 10_000,
) -> AuditPage:
    """Return the entries that match, at most `limit`, having looked at no more than `examine`."""
    found: list[AuditEntry] = []
    last = None
    for examined, entry in enumerate(entries(connector_uuid, before_id=before_id)):
        if examined == examine:
            return AuditPage(found, last)
        last = entry
        if not entry.matches(wanted):
            continue
        if len(found) == limit:
            return AuditPage(found, found[-1])
        found.append(entry)
    return AuditPage(found, None)


def entries_of(connector_uuid: str, address: Address, most: int) -> list[AuditEntry]:
    """Return the newest entries of one key, among the connector's LOOKED_AT newest ones."""
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
    )
