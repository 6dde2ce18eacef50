"""List a connector's namespaces and keys in sorted pages, and repair the index they come from.

The cost of a page depends on its own size only, however many keys Redis holds. A value that another
program wrote, such as a dsx-connect, is not in the index until `reindex` adds it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from django_redis import get_redis_connection

from connector_state.errors import InvalidRequest
from connector_state.store.calls import Caller, Steps, call, call_reindex, call_steps, in_thread
from connector_state.store.keys import KEY_MAX_BYTES, Address, connector_keys, escape_pattern
from connector_state.store.scripts import Script
from connector_state.store.values import ttl_seconds

_LIST_KEYS = Script("admit", "history", "index", "list_keys")
_DESCRIBE = Script("admit", "history", "index", "describe")
_LIST_NAMESPACES = Script("admit", "history", "index", "list_namespaces")

REINDEX_BATCH = 500
GONE_AT_MOST = 1000  # members without a value, met for one page
PREFIX_MAX_BYTES = KEY_MAX_BYTES


@dataclass(frozen=True, slots=True)
class KeySummary:
    """A key without its value. `size` is in bytes; `ttl_seconds` None: it never expires."""

    key: str
    size: int
    etag: str
    ttl_seconds: int | None


@dataclass(frozen=True, slots=True)
class NamespaceSummary:
    """A namespace and the number of its keys."""

    namespace: str
    keys: int


@dataclass(frozen=True, slots=True)
class KeyPage:
    """A page of keys in byte order. If there are `more`, the next page begins after `last`."""

    keys: list[KeySummary]
    more: bool
    last: str


@dataclass(frozen=True, slots=True)
class NamespacePage:
    """A page of namespaces in byte order; `more` tells whether others follow."""

    namespaces: list[NamespaceSummary]
    more: bool


@dataclass(frozen=True, slots=True)
class KeyDescription:
    """A Redis key without its value.

    `kind` is Redis' type, such as "string"; `size` is in bytes, 0 unless it is a string;
    `ttl_seconds` is None if it never expires.
    """

    kind: str
    size: int
    ttl_seconds: int | None

    @property
    def is_value(self) -> bool:
        """Tell whether it is a string, as all values of this service are."""
        return self.kind == "string"


@dataclass(slots=True)
class Reindexed:
    """The counts of a reindex.

    `added` keys were missing from the index, `forgotten` members of it had no value any more. Two
    kinds of Redis keys are skipped: `foreign` ones are not strings, `nameless` ones have a
    namespace or key that the API refuses.
    """

    added: int = 0
    forgotten: int = 0
    foreign: int = 0
    nameless: int = 0

    def add(self, other: "Reindexed") -> None:
        """Add the counts of another reindex to these."""
        self.added += other.added
        self.forgotten += other.forgotten
        self.foreign += other.foreign
        self.nameless += other.nameless


def list_namespaces(
    connector_uuid: str, caller: Caller, after: str = "", limit: int = 100
) -> NamespacePage:
    """Return up to `limit` namespaces that come after `after`, in byte order.

    Raises:
        SignatureRefused, RateLimited, Unavailable: as in calls.call.
    """
    more, *reply = call(_LIST_NAMESPACES, connector_uuid, caller, [after, limit])
    counts = zip(reply[::2], reply[1::2], strict=True)
    return NamespacePage([NamespaceSummary(name.decode(), n) for name, n in counts], bool(more))


def list_keys_steps(
    connector_uuid: str,
    caller: Caller,
    namespace: str,
    prefix: str = "",
    after: str = "",
    limit: int = 100,
) -> Steps[KeyPage]:
    """Return up to `limit` keys of a namespace that begin with `prefix` and come after `after`.

    A page that meets many members without a value may be short although there are more.

    Raises:
        SignatureRefused, RateLimited, Unavailable: as in calls.call.
    """
    start = f"{namespace}:{prefix}"
    # Python compares as the index does, byte by byte; Lua's order depends on Redis' locale.
    last = f"{namespace}:{after}" if after and after.encode() >= prefix.encode() else ""
    keys: list[KeySummary] = []
    gone, more = 0, True
    while more and len(keys) < limit and gone < GONE_AT_MOST:
        wanted = max(limit - len(keys), min(4 * gone, GONE_AT_MOST - gone))
        found = yield from call_steps(_LIST_KEYS, connector_uuid, caller, [start, last, wanted + 1])
        members = [member.decode() for member in found[:wanted]]
        arguments = [limit - len(keys), *members]
        seen, *rows = yield from call_steps(_DESCRIBE, connector_uuid, caller, arguments, members)
        summaries = _summaries(members, rows)
        keys, gone = keys + summaries, gone + seen - len(summaries)
        last, more = members[seen - 1] if seen else last, seen < len(found)
    return KeyPage(keys, more, _key_of(last))


list_keys = in_thread(list_keys_steps)


def _summaries(members: Sequence[str], rows: Sequence[Any]) -> list[KeySummary]:
    return [
        KeySummary(_key_of(members[number - 1]), size, etag.decode(), ttl_seconds(ttl_ms))
        for number, size, etag, ttl_ms in zip(*[iter(rows)] * 4, strict=True)
    ]


def _key_of(member: str) -> str:
    return member.partition(":")[2]


def describe(connector_uuid: str, addresses: Sequence[Address]) -> list[KeyDescription | None]:
    """Describe the Redis keys at the addresses, indexed or not; None where there is no key.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    prefix = connector_keys(connector_uuid).value_prefix
    return describe_keys([f"{prefix}{address.member}".encode() for address in addresses])


def describe_keys(keys: Sequence[bytes]) -> list[KeyDescription | None]:
    """Describe Redis keys given by their full names; otherwise like `describe`."""
    pipeline = get_redis_connection().pipeline(transaction=False)
    for key in keys:
        pipeline.type(key)
        pipeline.strlen(key)
        pipeline.pttl(key)
    replies = iter(pipeline.execute(raise_on_error=False))
    return [_description(*reply) for reply in zip(replies, replies, replies, strict=True)]


def _description(
    kind: bytes | Exception, size: int | Exception, ttl_ms: int | Exception
) -> KeyDescription | None:
    for reply in (kind, ttl_ms):  # STRLEN fails for every key that is not a string
        if isinstance(reply, Exception):
            raise reply
    assert isinstance(kind, bytes) and isinstance(ttl_ms, int)
    if kind == b"none":
        return None
    return KeyDescription(kind.decode(), size if isinstance(size, int) else 0, ttl_seconds(ttl_ms))


def take_in(connector_uuid: str, username: str, addresses: Iterable[Address]) -> Reindexed:
    """Make the index agree with Redis at these addresses; return the counts."""
    total = Reindexed()
    for members in _batches(address.member for address in addresses):
        _reindex(connector_uuid, username, members, total)
    return total


def reindex(connector_uuid: str, username: str) -> Iterator[Reindexed]:
    """Make a connector's index agree with Redis; yield the running total after each batch.

    First SCAN finds values that are missing from the index, then the index is searched for members
    without a value. It is safe while the connector writes, and safe to run again.
    """
    total = Reindexed()
    members = chain(_stored_members(connector_uuid, total), _indexed_members(connector_uuid))
    for batch in _batches(members):
        _reindex(connector_uuid, username, batch, total)
        yield total


def _reindex(connector_uuid: str, username: str, members: list[str], total: Reindexed) -> None:
    caller = Caller.operator(username)
    added, forgotten, *foreign = call_reindex(connector_uuid, caller, members)
    total.added += added
    total.forgotten += forgotten
    total.foreign += len(foreign)


def value_pattern(connector_uuid: str) -> str:
    """Return the SCAN pattern that matches all values of a connector and nothing else."""
    return escape_pattern(connector_keys(connector_uuid).value_prefix) + "*"


def _stored_members(connector_uuid: str, total: Reindexed) -> Iterator[str]:
    prefix = connector_keys(connector_uuid).value_prefix
    for key in get_redis_connection().scan_iter(value_pattern(connector_uuid), count=REINDEX_BATCH):
        try:
            yield Address.from_member(key.decode()[len(prefix) :]).member
        except (InvalidRequest, UnicodeDecodeError):
            total.nameless += 1


def _indexed_members(connector_uuid: str) -> Iterator[str]:
    index = connector_keys(connector_uuid).named("index")
    for member, _ in get_redis_connection().zscan_iter(index, count=REINDEX_BATCH):
        yield member.decode()


def _batches(members: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(members)
    while batch := list(islice(remaining, REINDEX_BATCH)):
        yield batch
