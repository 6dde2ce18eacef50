"""Room in a full Redis, which gives up earlier versions of values before it refuses a new value."""

import logging
import threading
import time
from typing import Any

from django.conf import settings
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from common.redis_cluster import routes
from connector_state.store.keys import connector_keys

logger = logging.getLogger(__name__)

HISTORIES = connector_keys("*").named("history")  # a pattern for SCAN
NOTHING_FOUND_SECONDS = 60  # SCAN takes a second for each million keys or so
FREED_SECONDS = 0.02  # Redis frees a large hash in a thread of its own

_lock = threading.Lock()
_look_again_at: dict[Any, float] = {}  # by node
_given_up = 0  # histories


def make_room(key: str = "") -> bool:
    """Delete the history of one connector, if that can help; return whether it did.

    It blocks its thread. Callers of this process take turns, and one that had to wait for another
    does not give up a further history: that may have been room enough.

    Args:
        key: there was no room for it; on a cluster, its node is the one that is full.
    """
    global _given_up
    before = _given_up
    with _lock:
        if before != _given_up:
            return True
        try:
            redis = routes.client_for(key) if settings.REDIS_CLUSTER else get_redis_connection()
            node = redis.connection_pool
            if time.monotonic() < _look_again_at.get(node, 0):
                return False
            memory = redis.info("memory")
            # So does `make run` refuse values where the disk is full: to delete any would not help.
            if 0 < memory["maxmemory"] <= memory["used_memory_startup"]:
                return False
            found = next(redis.scan_iter(HISTORIES, count=1000), None)
            if found is None:
                _look_again_at[node] = time.monotonic() + NOTHING_FOUND_SECONDS
                return False
            redis.unlink(found)
        except RedisError as error:
            logger.warning("could not make room in Redis: %s", error)
            return False
        _given_up += 1
        logger.warning("Redis is full: gave up the history %s", found.decode())
        time.sleep(FREED_SECONDS)
        return True
