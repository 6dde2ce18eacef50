"""What all connectors together use of Redis."""

from collections.abc import Iterable
from itertools import islice

from django_redis import get_redis_connection

from connector_state.store.keys import connector_keys

BATCH = 1000


def total_usage(connector_uuids: Iterable[str]) -> tuple[int, int]:
    """Return the number of keys and the bytes of all these connectors, BATCH at a time.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    keys = size = 0
    uuids = iter(connector_uuids)
    while batch := list(islice(uuids, BATCH)):
        pipeline = get_redis_connection().pipeline(transaction=False)
        for uuid in batch:
            pipeline.zcard(connector_keys(uuid).named("index"))
            pipeline.hget(connector_keys(uuid).named("sizes"), "total")
        replies = pipeline.execute()
        keys += sum(replies[::2])
        size += sum(int(total or 0) for total in replies[1::2])
    return keys, size
