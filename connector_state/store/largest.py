"""The largest keys of a namespace, however many it has. Redis serves others in between."""

import heapq
import re
import time
from collections.abc import Iterator

from django_redis import get_redis_connection

from connector_state.store.keys import connector_keys

SCANNED_AT_ONCE = 1000
SECONDS_AT_MOST = 1.5  # some million keys

_GLOB = re.compile(rb"([*?\[\]\\^-])")


def largest_keys(
    connector_uuid: str, namespace: str, prefix: str, most: int
) -> tuple[list[tuple[str, int]], bool]:
    """Return the largest keys that begin with `prefix`, as the index has them.

    Returns:
        Keys and their sizes in bytes, the largest first; whether all keys were looked at.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    until = time.monotonic() + SECONDS_AT_MOST
    start, sizes, is_complete = f"{namespace}:".encode(), connector_keys(connector_uuid), False
    pattern = _GLOB.sub(rb"\\\1", start + prefix.encode()) + b"*"

    def found() -> Iterator[tuple[int, bytes]]:
        nonlocal is_complete
        cursor, redis = 0, get_redis_connection()
        while not is_complete and time.monotonic() < until:
            cursor, page = redis.hscan(sizes.named("sizes"), cursor, pattern, SCANNED_AT_ONCE)
            yield from ((int(size), member) for member, size in page.items())
            is_complete = cursor == 0

    # HSCAN may name a member twice.
    largest = dict.fromkeys(heapq.nlargest(2 * most, found()))
    rows = [(member[len(start) :].decode(), size) for size, member in largest]
    return rows[:most], is_complete
