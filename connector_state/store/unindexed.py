"""Values that stand in Redis and that the index does not know, found by SCAN, in bounded steps."""

import time
from dataclasses import dataclass

from django_redis import get_redis_connection

from connector_state.errors import InvalidRequest
from connector_state.store.index import Stored, describe_keys, value_pattern
from connector_state.store.keys import Address, connector_keys

SCANNED_AT_ONCE = 500  # with ENOUGH_FOUND, fewer than the pages take in at once
ENOUGH_FOUND = 100
SECONDS_AT_MOST = 0.12  # a page has 200 ms


@dataclass(frozen=True, slots=True)
class Unindexed:
    """A key of Redis that the index does not know. `address` is None where none can name it."""

    name: str
    address: Address | None
    stored: Stored


@dataclass(frozen=True, slots=True)
class UnindexedPage:
    """What one step found. `cursor` is where the next one goes on, 0 at the end.

    `looked_at` counts keys of Redis, whosever they are, of `of_keys` there are; both are rough.
    """

    found: list[Unindexed]
    cursor: int
    looked_at: int
    of_keys: int


def find_unindexed(connector_uuid: str, cursor: int = 0) -> UnindexedPage:
    """Look through a part of Redis for a connector's keys that its index does not know.

    A step ends when it has found ENOUGH_FOUND, or after SECONDS_AT_MOST.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    redis, pattern = get_redis_connection(), value_pattern(connector_uuid)
    found: dict[bytes, Unindexed] = {}  # SCAN may name a key twice
    give_up_at, looked_at = time.monotonic() + SECONDS_AT_MOST, 0
    while True:
        cursor, keys = redis.scan(cursor, match=pattern, count=SCANNED_AT_ONCE)
        looked_at += SCANNED_AT_ONCE
        for key, unindexed in _unknown(connector_uuid, keys):
            found[key] = unindexed
        if cursor == 0 or len(found) >= ENOUGH_FOUND or time.monotonic() >= give_up_at:
            return UnindexedPage(list(found.values()), cursor, looked_at, redis.dbsize())


def _unknown(connector_uuid: str, keys: list[bytes]) -> list[tuple[bytes, Unindexed]]:
    if not keys:
        return []
    own = connector_keys(connector_uuid)
    start = len(own.value_prefix.encode())
    scores = get_redis_connection().zmscore(own.named("index"), [key[start:] for key in keys])
    unknown = [key for key, score in zip(keys, scores, strict=True) if score is None]
    return [
        (key, _unindexed(key[start:], stored))
        for key, stored in zip(unknown, describe_keys(unknown), strict=True)
        if stored is not None  # it expired meanwhile
    ]


def _unindexed(member: bytes, stored: Stored) -> Unindexed:
    name = member.decode(errors="backslashreplace")
    try:
        return Unindexed(name, Address.from_member(member.decode()), stored)
    except (InvalidRequest, UnicodeDecodeError):
        return Unindexed(name, None, stored)
