"""Examine the primaries of a Redis Cluster at once, and say which part of it is down."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID

from redis import Redis
from redis.crc import key_slot
from redis.exceptions import MovedError, RedisClusterException, RedisError

from common.findings import Finding, Unfit
from common.redis_cluster import routes

SLOTS = 16_384


@dataclass(frozen=True, slots=True, eq=False)  # a client has no equals
class Part:
    """A primary, with the number of its slots and of its replicas."""

    name: str
    client: Redis
    uuid: str  # of no connector, in one of its slots
    slots: int
    replicas: int


def examine(cluster: Any, examine_node: Callable[[Redis, str], Finding]) -> Finding:
    """Return what is wrong with a cluster.

    Args:
        cluster: its client.
        examine_node: examines one primary, given its client and the UUID of no connector.

    Raises:
        Unfit: no primary can be used, although some answered.
        redis.exceptions.RedisError: no primary answered.
    """
    outcomes = _outcomes(cluster, examine_node)
    if any(isinstance(found, MovedError) for found in outcomes.values()):
        # A replica has been promoted since this process last asked for the slots.
        with suppress(RedisError, RedisClusterException, OSError):
            routes.ask_nodes(cluster)
        outcomes = _outcomes(cluster, examine_node)
    answers = {part: found for part, found in outcomes.items() if isinstance(found, Finding)}
    errors = {part: error for part, error in outcomes.items() if isinstance(error, Exception)}
    if not answers:
        none = RedisError("The cluster has no primary.")
        raise max(errors.values(), key=lambda error: isinstance(error, Unfit), default=none)
    replicas, slots = sum(part.replicas for part in outcomes), sum(part.slots for part in outcomes)
    return Finding(
        f"{next(iter(answers.values())).description}; cluster of {len(outcomes)} primaries and "
        f"{replicas} replicas, {slots} of {SLOTS} slots",
        (*_down(errors, slots), *_of_nodes(answers, "dangers")),
        (*_unreplicated(outcomes), *_of_nodes(answers, "problems")),
    )


def _outcomes(
    cluster: Any, examine_node: Callable[[Redis, str], Finding]
) -> dict[Part, Finding | RedisError | Unfit]:
    parts = _parts(cluster)

    def outcome(part: Part) -> Finding | RedisError | Unfit:
        try:
            return examine_node(part.client, part.uuid)
        except RedisError as error:
            routes.learn(error, part.name)  # perhaps a replica has been promoted
            return error
        except Unfit as error:  # such as one that has just come back, and still loads its data
            return error

    with ThreadPoolExecutor(max(len(parts), 1)) as pool:
        return dict(zip(parts, pool.map(outcome, parts), strict=True))


def _parts(cluster: Any) -> list[Part]:
    by_slot = {slot: nodes for slot, nodes in cluster.nodes_manager.slots_cache.items() if nodes}
    primaries = {nodes[0].name: nodes for nodes in by_slot.values()}
    slots = Counter(nodes[0].name for nodes in by_slot.values())
    uuids: dict[str, str] = {}
    for number in count():
        uuid = str(UUID(int=number))
        if nodes := by_slot.get(key_slot(uuid.encode())):
            uuids.setdefault(nodes[0].name, uuid)
        if len(uuids) == len(primaries):
            break
    return [
        Part(
            name,
            cluster.get_redis_connection(nodes[0]),
            uuids[name],
            slots[name],
            len(nodes) - 1,
        )
        for name, nodes in primaries.items()
    ]


def _down(errors: dict[Part, RedisError | Unfit], slots: int) -> list[str]:
    words = []
    for part, error in errors.items():
        of_slots = f"{part.slots} of {SLOTS} slots"
        words.append(
            f"The primary {part.name} can't be used, and neither can {of_slots}: {error}"
            if isinstance(error, Unfit)
            else f"The primary {part.name} does not answer: {of_slots} can't be used, until a "
            "replica is promoted."
        )
    if slots < SLOTS:
        words.append(f"{SLOTS - slots} of {SLOTS} slots have no primary: they can't be used.")
    return words


def _unreplicated(parts: Iterable[Part]) -> list[str]:
    return [
        f"The primary {part.name} has no replica: if it fails, its slots can't be used."
        for part in parts
        if not part.replicas
    ]


def _of_nodes(answers: dict[Part, Finding], kind: str) -> list[str]:
    """Return the words of all nodes, each with the nodes that it concerns."""
    nodes: dict[str, list[str]] = {}
    for part, found in answers.items():
        for words in getattr(found, kind):
            nodes.setdefault(words, []).append(part.name)
    return [f"{', '.join(names)}: {words}" for words, names in nodes.items()]
