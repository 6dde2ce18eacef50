"""What connectors use of Redis, as the scripts noted it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from django_redis import get_redis_connection

from connector_state.keys import connector_keys


@dataclass(frozen=True, slots=True)
class Usage:
    """Number of keys, bytes of values, and when each key id was used last."""

    keys: int
    bytes: int
    last_used: dict[str, datetime]

    @property
    def last_used_at(self) -> datetime | None:
        """When any credential was used last."""
        return max(self.last_used.values(), default=None)


def usage_of(connector_uuids: Iterable[str]) -> dict[str, Usage]:
    """Return the usage of connectors, in one round trip.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    uuids = list(connector_uuids)
    pipeline = get_redis_connection().pipeline(transaction=False)
    for uuid in uuids:
        keys = connector_keys(uuid)
        pipeline.zcard(keys.named("index"))
        pipeline.hget(keys.named("sizes"), "total")
        pipeline.hgetall(keys.named("last_used"))
    replies = iter(pipeline.execute())
    return {
        uuid: Usage(
            keys=count,
            bytes=int(total or 0),
            last_used={
                caller.decode(): datetime.fromtimestamp(int(seconds), UTC)
                for caller, seconds in last_used.items()
            },
        )
        for uuid, count, total, last_used in zip(uuids, replies, replies, replies, strict=True)
    }
