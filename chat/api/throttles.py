"""Limit how many messages a user sends in a minute, over all workers."""

import logging
import math
import time
from functools import lru_cache
from typing import Any

from django.conf import settings
from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import RedisClusterStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisClusterException, RedisError

from chat.errors import RateLimited
from chat.impatience import impatient_cluster_options, impatient_pool

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 60
KEY_PREFIX = "statekeep:chat:rate"
# After a Redis that hung, which delays one message by half a second, nobody is limited so long.
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
    try:
        limiter = _limiter()
        if limiter.hit(item, user_id):
            return
        reset_time = limiter.get_window_stats(item, user_id).reset_time
    except (StorageError, RedisError, RedisClusterException, OSError) as error:
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
    if settings.REDIS_CLUSTER:
        options: Any = impatient_cluster_options()
        return MovingWindowRateLimiter(
            RedisClusterStorage("redis+cluster://", KEY_PREFIX, wrap_exceptions=True, **options)
        )
    storage = RedisStorage(
        "redis://", connection_pool=impatient_pool(), key_prefix=KEY_PREFIX, wrap_exceptions=True
    )
    return MovingWindowRateLimiter(storage)


def forget_limiter() -> None:
    """Drop the limiter and its pause, for tests that move Redis."""
    global _asked_again_at
    _limiter.cache_clear()
    _asked_again_at = 0.0
