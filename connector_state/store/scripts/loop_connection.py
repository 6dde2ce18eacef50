"""redis-py's connection for event loops, configured as those for threads are."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import redis
import redis.asyncio
from django_redis import get_redis_connection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.sentinel import SentinelConnectionPool

# What the pool for threads adds to a connection's arguments, and no event loop can use.
_OF_THREADS = {"parser_class", "retry", "connection_pool", "himport_registry", "redis_connect_func"}
_OF_THREADS_PREFIXES = ("maint_", "orig_")


async def connect(node: Any = None) -> Any:
    """Return a new connection, ready for commands; `node` is the pool of a cluster's node.

    Raises:
        redis.exceptions.RedisError, OSError: there is none to be had.
    """
    pool = node or get_redis_connection().connection_pool
    arguments = _for_loops(pool.connection_kwargs)
    if isinstance(pool, SentinelConnectionPool):
        arguments["host"], arguments["port"] = await _find_primary(pool)
    connection = _class_of(pool.connection_class)(**arguments)
    try:
        await connection.connect()
    except BaseException:
        await disconnect(connection)
        raise
    return connection


async def disconnect(connection: AbstractConnection) -> None:
    """Close a connection, whatever state it is in."""
    with suppress(RedisError, OSError):
        await connection.disconnect()


def _class_of(of_threads: type) -> Any:
    if issubclass(of_threads, redis.UnixDomainSocketConnection):
        return redis.asyncio.UnixDomainSocketConnection
    if issubclass(of_threads, redis.SSLConnection):
        return redis.asyncio.SSLConnection
    return redis.asyncio.Connection


async def _find_primary(pool: Any) -> tuple[str, int]:
    known = pool.sentinel_manager
    addresses = [
        (sentinel.connection_pool.connection_kwargs[name] for name in ("host", "port"))
        for sentinel in known.sentinels
    ]
    options = _for_loops(known.sentinel_kwargs)
    sentinels = redis.asyncio.Sentinel(addresses, known.min_other_sentinels, options)  # type: ignore[no-untyped-call]
    try:
        host, port = await sentinels.discover_master(pool.service_name)
        return host, port
    finally:
        await sentinels.aclose()


def _for_loops(arguments: Mapping[str, Any]) -> dict[str, Any]:
    kept = {
        name: value
        for name, value in arguments.items()
        if name not in _OF_THREADS
        and not name.startswith(_OF_THREADS_PREFIXES)
        # A cluster's client gives them to each connection, set or not.
        and (value or "_ocsp" not in name)
    }
    return {**kept, "retry": Retry(NoBackoff(), 1)}  # as in the settings
