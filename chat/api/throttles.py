"""Limit how many messages a user sends in a minute, over all workers."""

import logging
import math
import time
from functools import lru_cache

from django.conf import settings
from django_redis import get_redis_connection
from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from chat.errors import RateLimited

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 60
KEY_PREFIX = "statekeep:chat:rate"
# A Redis that hangs delays one message by this much; then nobody is limited for some seconds.
TIMEOUT_SECONDS = 0.5
WITHOUT_REDIS_SECONDS = 5.0

_asked_again_at = 0.0


def check_rate(user_id: str) -> None:
    """Count a message of a user.

    While Redis does not answer, nobody is limited.

    Raises:
        RateLimited: the user sent CHAT_RATE_PER_MINUTE messages in the last minute.
    """
    global _asked_again_at
    if not settings.CHAT_RATE_PER_MINUTE or time.monotonic() < _asked_again_at:
        return
    item = RateLimitItemPerMinute(settings.CHAT_RATE_PER_MINUTE)
    limiter = _limiter()
    try:
        if limiter.hit(item, user_id):
            return
        reset_time = limiter.get_window_stats(item, user_id).reset_time
    except (StorageError, OSError) as error:
        _asked_again_at = time.monotonic() + WITHOUT_REDIS_SECONDS
        logger.error("messages are not limited: Redis does not answer (%r)", error)
        return
    raise RateLimited(
        f"At most {settings.CHAT_RATE_PER_MINUTE} messages a minute.",
        # By a clock that stepped back the window would end in hours; Redis drops it in a minute.
        retry_after_seconds=min(max(1, math.ceil(reset_time - time.time())), WINDOW_SECONDS),
    )


@lru_cache(maxsize=1)
def _limiter() -> MovingWindowRateLimiter:
    storage = RedisStorage(
        "redis://", connection_pool=_impatient_pool(), key_prefix=KEY_PREFIX, wrap_exceptions=True
    )
    return MovingWindowRateLimiter(storage)


def _impatient_pool() -> ConnectionPool:
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


def forget_limiter() -> None:
    """Drop the limiter and its pause, for tests that move Redis."""
    global _asked_again_at
    _limiter.cache_clear()
    _asked_again_at = 0.0
