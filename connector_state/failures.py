"""Authentication failures, counted by reason in Redis, a day each.

Only reasons of ours are stored, never what was sent: nobody can fill Redis by failing. Counting is
best effort and at most one write a second per process, so that it can't be used to wait on Redis.
"""

import logging
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

from django_redis import get_redis_connection
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

DAYS_KEPT = 30
FLUSH_SECONDS = 1.0

_pending: Counter[str] = Counter()
_lock = threading.Lock()
_flushed_at = float("-inf")


def count(reason: str) -> None:
    """Count one failure."""
    global _flushed_at
    with _lock:
        _pending[reason] += 1
        if time.monotonic() - _flushed_at < FLUSH_SECONDS:
            return
        _flushed_at = time.monotonic()
        due = dict(_pending)
        _pending.clear()
    try:
        _write(due)
    except RedisError as error:
        logger.warning("authentication failures were not counted: %s", error)


def daily(days: int) -> dict[str, dict[str, int]]:
    """Return the counts of the last days: {"2026-01-31": {"bad_signature": 3}}, newest first.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    today = datetime.now(UTC).date()
    wanted = [(today - timedelta(days=back)).isoformat() for back in range(days)]
    pipeline = get_redis_connection().pipeline(transaction=False)
    for day in wanted:
        pipeline.hgetall(_key(day))
    return {
        day: {reason.decode(): int(number) for reason, number in counts.items()}
        for day, counts in zip(wanted, pipeline.execute(), strict=True)
        if counts
    }


def _write(counts: dict[str, int]) -> None:
    key = _key(datetime.now(UTC).date().isoformat())
    pipeline = get_redis_connection().pipeline()
    for reason, number in counts.items():
        pipeline.hincrby(key, reason, number)
    pipeline.expire(key, timedelta(days=DAYS_KEPT))
    pipeline.execute()


def _key(day: str) -> str:
    return f"statekeep:authentication_failures:{day}"
