"""Connections to Redis for what the chat can do without: they don't wait long."""

from typing import Any

from django.conf import settings
from django_redis import get_redis_connection
from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from common.redis_cluster.client import ClusterClient, client_options, with_redis_errors

# A Redis that hangs delays one call by this much; the caller then does without it for some seconds.
TIMEOUT_SECONDS = 0.5


def impatient_pool() -> ConnectionPool:
    """Return a pool of connections to the same Redis, with shorter timeouts.

    A stale connection is replaced once; a Redis that hangs is not asked a second time.
    """
    shared = get_redis_connection().connection_pool
    return ConnectionPool(
        connection_class=shared.connection_class,
        max_connections=shared.max_connections,
        **{
            **shared.connection_kwargs,
            "socket_connect_timeout": TIMEOUT_SECONDS,
            "socket_timeout": TIMEOUT_SECONDS,
            "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        },
    )


def impatient_cluster_options() -> dict[str, Any]:
    """Return the arguments of a client of the same cluster, with shorter timeouts."""
    return client_options() | {
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "socket_timeout": TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    }


@with_redis_errors
def impatient_client() -> Any:
    """Return a client of the same Redis, or cluster, with shorter timeouts.

    Raises:
        redis.exceptions.RedisError: no node of the cluster answered.
    """
    if settings.REDIS_CLUSTER:
        return ClusterClient(**impatient_cluster_options())
    return Redis(connection_pool=impatient_pool())
