"""Words in Redis, where other processes read them.

They are a copy, and may be missing: whoever follows a turn without them sees its tool calls, and
the reply when it is whole. The key is the token of the turn's lease, so that nobody takes what an
earlier attempt at the turn has said for words of this one.
"""

import json
import logging
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.conf import settings
from redis.exceptions import RedisError

from chat.impatience import impatient_client
from chat.live.words import Said

logger = logging.getLogger(__name__)

KEY_PREFIX = "statekeep:chat:words:"
WITHOUT_REDIS_SECONDS = 5.0
MARGIN_SECONDS = 10

_asked_again_at = 0.0


def publish(said: Mapping[str, Said]) -> None:
    """Write the words of these turns, by lease token, in place of what was written before."""
    global _asked_again_at
    if not said or time.monotonic() < _asked_again_at:
        return
    lasts = int(settings.CHAT_TURN_SECONDS) + MARGIN_SECONDS
    try:
        pipeline = _redis().pipeline(transaction=False)
        for token, words in said.items():
            pipeline.set(KEY_PREFIX + token, json.dumps([words.calls, words.text]), ex=lasts)
        pipeline.execute()
    except (RedisError, OSError) as error:
        _asked_again_at = time.monotonic() + WITHOUT_REDIS_SECONDS
        logger.warning("words are not published: Redis does not answer (%r)", error)


def read(lease_token: str) -> Said | None:
    """Return what another process has published under this lease, None if nothing is there."""
    try:
        stored: Any = _redis().get(KEY_PREFIX + lease_token)
    except (RedisError, OSError):
        return None
    if stored is None:
        return None
    calls, text = json.loads(stored)
    return Said(calls, [text])


@lru_cache(maxsize=1)
def _redis() -> Any:
    return impatient_client()


def forget_redis() -> None:
    """Drop the connections and the pause, for tests that move Redis."""
    global _asked_again_at
    _redis.cache_clear()
    _asked_again_at = 0.0
