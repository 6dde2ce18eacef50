"""The usage of connectors: keys, bytes and last calls, as the scripts have recorded them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django_redis import get_redis_connection

from connector_state.models import Connector
from connector_state.store.calls import OPERATOR
from connector_state.store.keys import ConnectorKeys, connector_keys

NAMESPACES_COUNTED = 20
BATCH = 1000

_FIRST_NAMESPACES = (Path(__file__).parent / "scripts" / "first_namespaces.lua").read_text()


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of one connector: number of keys, bytes of their values, times of last calls.

    `history_bytes` are those of earlier values. `namespaces` are the first NAMESPACES_COUNTED in
    byte order. The names in `last_used` are key ids and operator:NAME.
    """

    keys: int
    bytes: int
    history_bytes: int
    namespaces: list[str]
    last_used: dict[str, datetime]

    @property
    def last_used_at(self) -> datetime | None:
        """Return when any credential was used last, None if never; operators don't count."""
        credentials = (at for by, at in self.last_used.items() if not by.startswith(OPERATOR))
        return max(credentials, default=None)


def last_seen_at(connector: Connector, usage: Usage) -> datetime | None:
    """Return when the connector last sent a heartbeat or used a credential; None if never."""
    seen = (connector.last_seen_at, usage.last_used_at)
    return max(filter(None, seen), default=None)


def never_signed(connector: Connector, usage: Usage) -> bool:
    """Return whether a connector has sent heartbeats, and never used a live credential.

    Only of one that an operator made: an enrolled one gets its credential by registering, and may
    have no state to keep.
    """
    if connector.heartbeat_group is None or connector.last_seen_at is None:
        return False
    live = (credential for credential in connector.credentials.all() if credential.is_live)
    return not any(credential.key_id in usage.last_used for credential in live)


def unsigned_connectors() -> list[Connector]:
    """Return the enabled connectors of which never_signed holds.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    made = Connector.objects.filter(enabled=True).exclude(heartbeat_group=None)
    seen = list(made.exclude(last_seen_at=None).prefetch_related("credentials"))
    usage = usage_of(str(connector.pk) for connector in seen)
    return [connector for connector in seen if never_signed(connector, usage[str(connector.pk)])]


def usage_of(connector_uuids: Iterable[str]) -> dict[str, Usage]:
    """Return the usage of connectors by UUID.

    It takes two round trips: one to make sure that Redis has the script, one for all the rest. On a
    cluster it takes one, to all nodes at once.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    uuids = list(connector_uuids)
    redis = get_redis_connection()
    script = None if settings.REDIS_CLUSTER else redis.register_script(_FIRST_NAMESPACES)
    pipeline = redis.pipeline(transaction=False)
    for uuid in uuids:
        keys = connector_keys(uuid)
        index = keys.named("index")
        pipeline.zcard(index)
        pipeline.hget(keys.named("sizes"), "total")
        pipeline.hget(keys.named("history"), "\0bytes")
        if script:
            script([index], [NAMESPACES_COUNTED], pipeline)
        else:
            # By its text: a pipeline on a cluster can't make sure that each node has it already.
            pipeline.execute_command("EVAL", _FIRST_NAMESPACES, 1, index, NAMESPACES_COUNTED)
        pipeline.hgetall(keys.named("last_used"))
    replies = iter(pipeline.execute())
    return {
        uuid: Usage(
            keys=count,
            bytes=int(total or 0),
            history_bytes=int(history_bytes or 0),
            namespaces=[namespace.decode() for namespace in namespaces],
            last_used={
                caller.decode(): datetime.fromtimestamp(int(seconds), UTC)
                for caller, seconds in last_used.items()
            },
        )
        for uuid, count, total, history_bytes, namespaces, last_used in zip(
            uuids, replies, replies, replies, replies, replies, strict=True
        )
    }


def total_usage(connector_uuids: Iterable[str]) -> tuple[int, int]:
    """Return the number of keys and the bytes of all these connectors together.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    uuids = list(connector_uuids)
    return int(sum(key_counts(uuids).values())), int(sum(sizes(uuids).values()))


def key_counts(connector_uuids: Iterable[str]) -> dict[str, float]:
    """Return the number of keys of each connector, by UUID.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    replies = _ask_of_each(connector_uuids, lambda pipe, keys: pipe.zcard(keys.named("index")))
    return dict(replies)


def sizes(connector_uuids: Iterable[str]) -> dict[str, float]:
    """Return the bytes of the values of each connector, by UUID.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    replies = _ask_of_each(
        connector_uuids, lambda pipe, keys: pipe.hget(keys.named("sizes"), "total")
    )
    return {uuid: int(total or 0) for uuid, total in replies}


def last_used(connector_uuids: Iterable[str]) -> dict[str, float]:
    """Return when a credential of each connector was used last, as Unix seconds; 0 if never.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    replies = _ask_of_each(
        connector_uuids, lambda pipe, keys: pipe.hgetall(keys.named("last_used"))
    )
    operator = OPERATOR.encode()
    return {
        uuid: max((int(at) for by, at in used.items() if not by.startswith(operator)), default=0)
        for uuid, used in replies
    }


def _ask_of_each(
    connector_uuids: Iterable[str], ask: Callable[[Any, ConnectorKeys], object]
) -> Iterator[tuple[str, Any]]:
    """Yield each UUID with Redis' reply to a command on its keys, in a pipeline per batch."""
    uuids = iter(connector_uuids)
    while batch := list(islice(uuids, BATCH)):
        pipeline = get_redis_connection().pipeline(transaction=False)
        for uuid in batch:
            ask(pipeline, connector_keys(uuid))
        yield from zip(batch, pipeline.execute(), strict=True)
