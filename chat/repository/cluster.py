"""Conversations on a Redis Cluster: as on one Redis, each on the node that has its key."""

from typing import Any

from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from chat.errors import StoreUnavailable
from chat.repository.redis import RedisRepository
from common.redis_cluster import routes

REDIRECTIONS_MAX = 5


class ClusterRepository(RedisRepository):
    """The ConversationRepository on a cluster, with one connection per thread and node."""

    def _call(self, command: tuple[Any, ...], deadline: float) -> Any:
        self._local.asked = None
        for _ in range(REDIRECTIONS_MAX):
            try:
                return super()._call(command, deadline)
            except StoreUnavailable as error:
                cause = error.__cause__
                if isinstance(cause, Exception):
                    routes.learn(cause, routes.place_of(self._key_of(command), cause))
                if not isinstance(cause, exceptions.AskError):  # as MovedError is
                    raise
                is_moved = isinstance(cause, exceptions.MovedError)
                self._local.asked = None if is_moved else (cause.host, cause.port)
        raise StoreUnavailable()

    def _exchange(self, connection: Any, command: tuple[Any, ...]) -> Any:
        # The slot is being moved, and this node takes the key for who says that he was sent.
        if self._local.asked:
            super()._exchange(connection, ("ASKING",))
        return super()._exchange(connection, command)

    def _connection(self, key: bytes) -> Any:
        try:
            if self._local.asked:
                pool = routes.pool_at(*self._local.asked)
            else:
                pool = routes.pool_for(key, self._connect_timeout_seconds)
        except exceptions.RedisError as error:
            raise StoreUnavailable() from error
        try:
            connections = self._local.connections
        except AttributeError:
            connections = self._local.connections = {}
        if pool not in connections:
            options = {**pool.connection_kwargs, "retry": Retry(NoBackoff(), 0)}
            connections[pool] = pool.connection_class(**options)
        return connections[pool]
