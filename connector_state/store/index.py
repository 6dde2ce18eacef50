"""What a connector has stored: its namespaces and keys, in sorted pages, from its index.

A page costs what it holds, whatever else Redis holds. A value that came from elsewhere (an
existing dsx-connect) is not in the index until reindex takes it in.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django_redis import get_redis_connection

from connector_state.errors import InvalidRequest
from connector_state.store.calls import Caller, Steps, call, call_steps, in_thread
from connector_state.store.connection import Script
from connector_state.store.keys import KEY_MAX_BYTES, Address, connector_keys
from connector_state.store.values import ttl_seconds

_LIST_KEYS = Script("admit", "index", "list_keys")
_DESCRIBE = Script("admit", "index", "describe")
_LIST_NAMESPACES = Script("admit", "index", "list_namespaces")
_REINDEX = Script("admit", "index", "reindex")

REINDEX_BATCH = 500
GONE_AT_MOST = 1000  # members without a value, met for one page
PREFIX_MAX_BYTES = KEY_MAX_BYTES
_GLOB = str.maketrans({character: f"\\{character}" for character in "\\*?[]"})


@dataclass(frozen=True, slots=True)
class KeySummary:
    """A key without its value: size in bytes, ETag, TTL in seconds (None: never expires)."""

    key: str
    size: int
    etag: str
    ttl_seconds: int | None


@dataclass(frozen=True, slots=True)
class NamespaceSummary:
    """A namespace and its number of keys."""

    namespace: str
    keys: int


@dataclass(frozen=True, slots=True)
class KeyPage:
    """Keys in byte order; when there are `more`, they come after the key `last`."""

    keys: list[KeySummary]
    more: bool
    last: str


@dataclass(frozen=True, slots=True)
class NamespacePage:
    """Namespaces in byte order; `more` tells whether others come after."""

    namespaces: list[NamespaceSummary]
    more: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """What stands at an address, without its value: Redis' type, size in bytes, TTL in seconds."""

    kind: str
    size: int
    ttl_seconds: int | None

    @property
    def is_value(self) -> bool:
        """Whether it is a string, as all values of this service are."""
        return self.kind == "string"


@dataclass(slots=True)
class Reindexed:
    """What a reindex did.

    Skipped are Redis keys that are `foreign` (no string stands there) or `nameless` (no address of
    this API can name them).
    """

    added: int = 0
    forgotten: int = 0
    foreign: int = 0
    nameless: int = 0

    def add(self, other: "Reindexed") -> None:
        """Add up."""
        self.added += other.added
        self.forgotten += other.forgotten
        self.foreign += other.foreign
        self.nameless += other.nameless


def list_namespaces(
    connector_uuid: str, caller: Caller, after: str = "", limit: int = 100
) -> NamespacePage:
    """Return the namespaces that come after the one named, at most `limit`."""
    more, *reply = call(_LIST_NAMESPACES, connector_uuid, caller, [after, limit])
    names, counts = reply[::2], reply[1::2]
    return NamespacePage(
        [NamespaceSummary(n.decode(), c) for n, c in zip(names, counts, strict=True)], bool(more)
    )


def list_keys_steps(
    connector_uuid: str,
    caller: Caller,
    namespace: str,
    prefix: str = "",
    after: str = "",
    limit: int = 100,
) -> Steps[KeyPage]:
    """Return the keys of a namespace that begin with `prefix` and come after the one named.

    What is listed is what stands there. A page that met many members without a value may be short
    although there are more.
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


def describe(connector_uuid: str, addresses: Sequence[Address]) -> list[Stored | None]:
    """Return what stands at each address in Redis, indexed or not; None where nothing does.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    prefix = connector_keys(connector_uuid).value_prefix
    return describe_keys([f"{prefix}{address.member}".encode() for address in addresses])


def describe_keys(keys: Sequence[bytes]) -> list[Stored | None]:
    """As describe, of keys as they are in Redis."""
    pipeline = get_redis_connection().pipeline(transaction=False)
    for key in keys:
        pipeline.type(key)
        pipeline.strlen(key)
        pipeline.pttl(key)
    replies = iter(pipeline.execute(raise_on_error=False))
    return [_stored(*reply) for reply in zip(replies, replies, replies, strict=True)]


def _stored(
    kind: bytes | Exception, size: int | Exception, ttl_ms: int | Exception
) -> Stored | None:
    for reply in (kind, ttl_ms):  # the size is an error where something else than a value stands
        if isinstance(reply, Exception):
            raise reply
    assert isinstance(kind, bytes) and isinstance(ttl_ms, int)
    if kind == b"none":
        return None
    return Stored(kind.decode(), size if isinstance(size, int) else 0, ttl_seconds(ttl_ms))


def take_in(connector_uuid: str, username: str, addresses: Iterable[Address]) -> Reindexed:
    """Bring the index to what stands at these addresses."""
    total = Reindexed()
    for members in _batches(address.member for address in addresses):
        _reindex(connector_uuid, username, members, total)
    return total


def reindex(connector_uuid: str, username: str) -> Iterator[Reindexed]:
    """Bring a connector's index to what stands in Redis; yield the running total after each batch.

    It goes over Redis by SCAN, and then over the index for members without a value. Safe beside
    writes, and to run again.
    """
    total = Reindexed()
    for members in _batches(_stored_members(connector_uuid, total)):
        _reindex(connector_uuid, username, members, total)
        yield total
    for members in _batches(_indexed_members(connector_uuid)):
        _reindex(connector_uuid, username, members, total)
        yield total


def _reindex(connector_uuid: str, username: str, members: list[str], total: Reindexed) -> None:
    caller = Caller.operator(username)
    added, forgotten, *foreign = call(
        _REINDEX, connector_uuid, caller, members, members, when_full=False
    )
    total.added += added
    total.forgotten += forgotten
    total.foreign += len(foreign)


def value_pattern(connector_uuid: str) -> str:
    """Return the pattern, for SCAN, of a connector's values and of nothing else."""
    return connector_keys(connector_uuid).value_prefix.translate(_GLOB) + "*"


def _stored_members(connector_uuid: str, total: Reindexed) -> Iterator[str]:
    prefix = connector_keys(connector_uuid).value_prefix
    pattern = value_pattern(connector_uuid)
    for key in get_redis_connection().scan_iter(pattern, count=REINDEX_BATCH):
        try:
            yield Address.from_member(key.decode()[len(prefix) :]).member
        except (InvalidRequest, UnicodeDecodeError):
            total.nameless += 1


def _indexed_members(connector_uuid: str) -> Iterator[str]:
    index = connector_keys(connector_uuid).named("index")
    for member, _ in get_redis_connection().zscan_iter(index, count=REINDEX_BATCH):
        yield member.decode()


def _batches(members: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for member in members:
        batch.append(member)
        if len(batch) == REINDEX_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
