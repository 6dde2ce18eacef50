"""Keys by any part of their name, and the largest ones, for as long as somebody waits."""

import heapq
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django_redis import get_redis_connection

from connector_state.store.keys import Address, connector_keys, escape_pattern

SCANNED_AT_ONCE = 5000  # members of an index: some milliseconds, in which nobody else is served
CONNECTORS_AT_ONCE = 50

_SEPARATORS = (" / ", ":", "/")  # of namespace and key, as people and programs write them
_SEPARATOR = re.compile("|".join(_SEPARATORS))

SIZES_AT_ONCE = 1000
SIZES_SECONDS_AT_MOST = 1.5  # some million keys


@dataclass(frozen=True, slots=True)
class Found:
    """The UUIDs and addresses of keys. `is_cut`: there may be more.

    `cursor` is not 0 where the time was up: there the search of one connector can go on.
    """

    keys: list[tuple[str, Address]]
    is_cut: bool
    cursor: int = 0


def find_keys(
    connector_uuids: Iterable[str],
    text: str,
    *,
    namespace: str = "",
    most: int = 100,
    seconds: float = 1.0,
    cursor: int = 0,
) -> Found:
    """Return the keys that hold `text`, by the indexes of the connectors; capitals count.

    The text may begin in the namespace, as in the names of keys in logs and pages: `m365 / delta`,
    `m365:delta` or `m365/delta`.

    Args:
        namespace: look in this one alone, "" for all.
        most: keys to return.
        seconds: after which it returns what it has found.
        cursor: where to go on, of one connector; 0 to begin.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    until = time.monotonic() + seconds
    pattern = _pattern(text, namespace)
    found: list[tuple[str, Address]] = []
    uuids = list(connector_uuids)
    for at in range(0, len(uuids), CONNECTORS_AT_ONCE):
        cursors = dict.fromkeys(uuids[at : at + CONNECTORS_AT_ONCE], cursor)
        while cursors:
            if len(found) > most:
                return Found(_sorted(found)[:most], is_cut=True)
            if time.monotonic() > until:
                last = cursors[uuids[0]] if len(uuids) == 1 else 0
                return Found(_sorted(found), is_cut=True, cursor=last)
            found += [each for each in _scan(cursors, pattern) if _is_named(each[1], text)]
    return Found(_sorted(found)[:most], is_cut=len(found) > most)


def _pattern(text: str, namespace: str) -> str:
    """Return a pattern of members that matches all that are wanted, and perhaps others."""
    parts = [escape_pattern(part) for part in _SEPARATOR.split(text)]
    start = f"{escape_pattern(namespace)}:*" if namespace else "*" if len(parts) > 1 else "*:*"
    return f"{start}{'*'.join(parts)}*"


def _is_named(address: Address, text: str) -> bool:
    return any(text in f"{address.namespace}{between}{address.key}" for between in _SEPARATORS)


def _scan(cursors: dict[str, int], pattern: str) -> list[tuple[str, Address]]:
    """Take a step in each connector's index; forget the cursors of those that have ended."""
    pipeline = get_redis_connection().pipeline(transaction=False)
    each = max(SCANNED_AT_ONCE // len(cursors), 100)
    for uuid, cursor in cursors.items():
        pipeline.zscan(connector_keys(uuid).named("index"), cursor, pattern, each)
    found = []
    for uuid, (cursor, members) in zip(list(cursors), pipeline.execute(), strict=True):
        found += [(uuid, Address.from_member(member.decode())) for member, _ in members]
        cursors[uuid] = cursor
        if not cursor:
            del cursors[uuid]
    return found


def _sorted(found: list[tuple[str, Address]]) -> list[tuple[str, Address]]:
    # A scan may return a member twice.
    return sorted(set(found), key=lambda each: (each[0], each[1].member))


def largest_keys(
    connector_uuid: str, namespace: str, prefix: str, most: int
) -> tuple[list[tuple[str, int]], bool]:
    """Return the largest keys of a namespace that begin with `prefix`, as the index has them.

    Returns:
        Keys and their sizes in bytes, the largest first; whether all keys were looked at.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    until = time.monotonic() + SIZES_SECONDS_AT_MOST
    start, sizes, is_complete = f"{namespace}:", connector_keys(connector_uuid), False
    pattern = f"{escape_pattern(start + prefix)}*"

    def found() -> Iterator[tuple[int, bytes]]:
        nonlocal is_complete
        cursor, redis = 0, get_redis_connection()
        while not is_complete and time.monotonic() < until:
            cursor, page = redis.hscan(sizes.named("sizes"), cursor, pattern, SIZES_AT_ONCE)
            yield from ((int(size), member) for member, size in page.items())
            is_complete = cursor == 0

    # HSCAN may name a member twice.
    largest = dict.fromkeys(heapq.nlargest(2 * most, found()))
    rows = [(member.decode().removeprefix(start), size) for size, member in largest]
    return rows[:most], is_complete
