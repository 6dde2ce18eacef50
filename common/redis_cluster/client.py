"""redis-py's client of the cluster that the settings name, shared by this process."""

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from django.conf import settings
from django_redis.pool import ConnectionFactory
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

P = ParamSpec("P")
T = TypeVar("T")


def with_redis_errors(call: Callable[P, T]) -> Callable[P, T]:
    """Make a function raise a RedisError where redis-py says that it found no node to ask.

    RedisClusterException is not one, so nobody who catches RedisError would expect it.
    """

    @wraps(call)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except RedisClusterException as error:
            if isinstance(error.__cause__, RedisError):  # such as a wrong password
                raise error.__cause__ from None
            raise RedisConnectionError(str(error)) from error

    return run


class ClusterClient(RedisCluster):
    """redis-py's client of a cluster; all that it raises are RedisErrors."""

    @with_redis_errors
    def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        return super().execute_command(*args, **kwargs)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> Any:
        pipeline: Any = super().pipeline(transaction, shard_hint)  # type: ignore[no-untyped-call]
        pipeline.execute = with_redis_errors(pipeline.execute)
        return pipeline


def client_options() -> dict[str, Any]:
    """Return the arguments of a client, apart from time limits and the number of attempts."""
    options = dict(settings.REDIS_CLUSTER)
    return options | {
        "startup_nodes": [ClusterNode(*address) for address in options["startup_nodes"]],  # type: ignore[no-untyped-call]
        # A part of the slots without a primary is no reason to refuse the others.
        "require_full_coverage": False,
        # What nodes call themselves may change at once (containers); the given names stay.
        "dynamic_startup_nodes": False,
        # For a connection that has become stale, as with a single Redis.
        "retry": Retry(NoBackoff(), 1),
        # Of Redis Enterprise. Their handlers refer to the connections and those to them, so that
        # the connection of a thread that ended would stay open until a garbage collection.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


_shared: ClusterClient | None = None
_lock = threading.Lock()


def known_client() -> ClusterClient | None:
    """Return this process's client, None as long as no node has told it the others."""
    return _shared


@with_redis_errors
def shared_client() -> ClusterClient:
    """Return this process's client; the first call asks the nodes who has which slots.

    Raises:
        redis.exceptions.RedisError: no node answered.
    """
    global _shared
    if _shared is None:
        # Not under the lock: while no node answers, callers would wait one after the other.
        client = ClusterClient(**client_options())
        with _lock:
            _shared = _shared or client
    return _shared


class ClusterConnectionFactory(ConnectionFactory):  # type: ignore[misc]
    """Give django-redis, and so get_redis_connection(), the shared client."""

    def connect(self, url: str) -> Any:
        return shared_client()
