"""The node that has a key, as this process knows it, for calls on connections of their own.

Nobody waits for the nodes here: what an error tells is noted at once, and whatever else has to be
asked is asked in another thread, while the calls that need it try again.
"""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from redis import Redis
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from common.redis_cluster.client import ClusterClient, known_client, shared_client

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 0.2

_lock = threading.Lock()
_is_looking = False
_look_again_at = 0.0
_has_looked = threading.Event()


def pool_for(key: str | bytes, first_wait_seconds: float = 0) -> Any:
    """Return the connection pool of the primary that has a key: one object for each node.

    Without a cluster it is None. A process that has not asked the nodes yet waits for that as long
    as is said.

    Raises:
        redis.exceptions.ConnectionError: the primary is not known yet, or there is none.
    """
    if not settings.REDIS_CLUSTER:
        return None
    if known_client() is None:
        _look_again()
        _has_looked.wait(first_wait_seconds)
    client = known_client()
    nodes = client.nodes_manager.slots_cache.get(_slot_of(client, key)) if client else None
    if client is None or not nodes:
        _look_again()
        raise RedisConnectionError("No primary is known for this key's slot.")
    return client.get_redis_connection(nodes[0]).connection_pool


def pool_at(host: str, port: int) -> Any:
    """Return the connection pool of the node at this address.

    Raises:
        redis.exceptions.ConnectionError: there is none, as far as is known.
    """
    client = known_client()
    node = client.get_node(host, port) if client else None  # type: ignore[no-untyped-call]
    if client is None or node is None:
        _look_again()
        raise RedisConnectionError("The node that was named is not known.")
    return client.get_redis_connection(node).connection_pool


def client_for(key: str | bytes) -> Any:
    """Return a client of the cluster's primary that has a key.

    Raises:
        redis.exceptions.RedisError: the primary is not known.
    """
    shared_client()
    return Redis(connection_pool=pool_for(key))


def key_on_cluster(keys: Sequence[str]) -> str | None:
    """Return the first of a call's keys, by which its node is found; None without a cluster."""
    return keys[0] if settings.REDIS_CLUSTER else None


Place = str | int | None
"""Where calls fail together: the name of a node, or the number of a slot; None: everywhere."""


def places_of(key: str | bytes) -> tuple[Place, ...]:
    """Return the node and the slot of a key, as far as they are known."""
    client = known_client()
    if client is None:
        return (None,)
    slot = _slot_of(client, key)
    nodes = client.nodes_manager.slots_cache.get(slot)
    return (nodes[0].name, slot, None) if nodes else (slot, None)


def _slot_of(client: ClusterClient, key: str | bytes) -> int:
    return int(client.keyslot(key))  # type: ignore[no-untyped-call]


def place_of(key: str | bytes, error: Exception) -> Place:
    """Return the place that an error concerns: a slot that is being moved fails alone."""
    node, *others = places_of(key)
    return others[0] if others and isinstance(error, AskError | TryAgainError) else node


def learn(error: Exception, place: Place = None) -> None:
    """Bring what is known about the nodes up to date after a call failed.

    Args:
        error: what the call failed with.
        place: the name of the node that failed; it is asked last.
    """
    client = known_client()
    if isinstance(error, MovedError) and client is not None and error.host:
        try:
            client.nodes_manager.move_slot(error)
        except KeyError:  # nobody had the slot
            pass
    elif isinstance(error, ResponseError) and not isinstance(error, ClusterDownError):
        return
    _look_again(place)  # after MOVED too: whoever was promoted has many slots


def _look_again(last: Place = None) -> None:
    global _is_looking
    with _lock:
        if _is_looking or time.monotonic() < _look_again_at:
            return
        _is_looking = True
    threading.Thread(target=_look, args=[last], daemon=True).start()


def _look(last: Place) -> None:
    global _is_looking, _look_again_at
    try:
        client = known_client()
        if client is None:
            shared_client()
        else:
            ask_nodes(client, last)
    except (RedisError, RedisClusterException, OSError) as error:
        logger.warning("The nodes of the Redis Cluster can't be asked for its slots: %s", error)
    finally:
        with _lock:
            _look_again_at = time.monotonic() + LOOK_EVERY_SECONDS
            _is_looking = False
        _has_looked.set()


def ask_nodes(client: ClusterClient, last: Place = None) -> None:
    """Ask the nodes of a cluster for its slots, the one named `last` after all others.

    Raises:
        redis.exceptions.RedisClusterException, redis.exceptions.RedisError: none answered.
    """
    known = [(node.host, node.port) for node in client.get_nodes()]  # type: ignore[no-untyped-call]
    client.nodes_manager.initialize(
        additional_startup_nodes_info=known,
        last_failed_node_name=last if isinstance(last, str) else None,
    )
