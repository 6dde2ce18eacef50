"""SCAN in steps over all primaries, and the number of their keys."""

from typing import Any

from django.conf import settings
from django_redis import get_redis_connection


def count_keys() -> int:
    """Return the number of all keys in Redis; on a cluster, of all primaries.

    Raises:
        redis.exceptions.RedisError: Redis, or a primary, did not answer.
    """
    redis: Any = get_redis_connection()
    if not settings.REDIS_CLUSTER:
        return int(redis.dbsize())
    nodes = map(redis.get_redis_connection, redis.get_primaries())
    return sum(int(node.dbsize()) for node in nodes)


def scan(cursor: int, pattern: str, count: int) -> tuple[int, list[bytes]]:
    """Do one step of a SCAN; on a cluster, of one primary after the other.

    Args:
        cursor: 0 for the first step, else what the step before it returned.
        pattern: that the keys match.
        count: roughly how many keys to look at.

    Returns:
        The cursor of the next step, 0 after the last one; and the keys.

    Raises:
        redis.exceptions.RedisError: Redis, or this step's primary, did not answer.
    """
    redis: Any = get_redis_connection()
    if not settings.REDIS_CLUSTER:
        following, keys = redis.scan(cursor, match=pattern, count=count)
        return following, keys
    primaries = sorted(redis.get_primaries(), key=lambda node: str(node.name))
    # Which primary it is stands in the cursor's lowest part, so that 0 is the first one's start.
    of_node, number = divmod(cursor, len(primaries))
    node = redis.get_redis_connection(primaries[number])
    of_node, keys = node.scan(of_node, match=pattern, count=count)
    if of_node:
        return of_node * len(primaries) + number, keys
    return (number + 1) % len(primaries), keys
