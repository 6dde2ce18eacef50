"""Find values in Redis that are missing from a connector's index, by SCAN in short steps."""

import time
from contextlib import suppress
from dataclasses import dataclass

from django_redis import get_redis_connection

from common.redis_cluster.scans import count_keys, scan
from connector_state.errors import InvalidRequest
from connector_state.store.index import KeyDescription, describe_keys, value_pattern
from connector_state.store.keys import Address, connector_keys

# Together with ENOUGH_FOUND fewer keys than one form of admin's pages may hold.
SCANNED_AT_ONCE = 500
ENOUGH_FOUND = 100
SECONDS_AT_MOST = 0.12  # of the 200 ms that a page may take


@dataclass(frozen=True, slots=True)
class Unindexed:
    """A Redis key that is missing from the index.

    `name` is its namespace:key, for people. `address` is None if it breaks the API's rules.
    """

    name: str
    address: Address | None
    stored: KeyDescription


@dataclass(frozen=True, slots=True)
class UnindexedPage:
    """The result of one step. The next step begins at `cursor`; 0: the search is complete.

    `looked_at` and `of_keys` are rough counts: keys examined, and all keys of this Redis.
    """

    found: list[Unindexed]
    cursor: int
    looked_at: int
    of_keys: int


def find_unindexed(connector_uuid: str, cursor: int = 0) -> UnindexedPage:
    """Search a part of Redis for a connector's values that are missing from its index.

    A step ends when it has found ENOUGH_FOUND keys, or after SECONDS_AT_MOST.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    pattern = value_pattern(connector_uuid)
    found: dict[bytes, Unindexed] = {}  # SCAN may name a key twice
    give_up_at, looked_at = time.monotonic() + SECONDS_AT_MOST, 0
    while True:
        cursor, keys = scan(cursor, pattern, SCANNED_AT_ONCE)
        looked_at += SCANNED_AT_ONCE
        for key, unindexed in _unknown(connector_uuid, keys):
            found[key] = unindexed
        if cursor == 0 or len(found) >= ENOUGH_FOUND or time.monotonic() >= give_up_at:
            return UnindexedPage(list(found.values()), cursor, looked_at, count_keys())


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
        if stored is not None  # it has expired since the SCAN
    ]


def _unindexed(member: bytes, stored: KeyDescription) -> Unindexed:
    address = None
    with suppress(InvalidRequest, UnicodeDecodeError):
        address = Address.from_member(member.decode())
    return Unindexed(member.decode(errors="backslashreplace"), address, stored)
