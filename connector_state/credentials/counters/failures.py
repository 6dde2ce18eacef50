"""Count authentication failures in Redis, by day and reason.

Only the service's own reasons are stored, never what a client sent, so that nobody can fill Redis
with failing requests. No request waits for Redis: a timer writes the counts, at most once a second
per process. A process that is killed loses the counts of its last second.
"""

import logging
import os
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django_redis import get_redis_connection

from common.telemetry import metrics

logger = logging.getLogger(__name__)

DAYS_KEPT = 30
FLUSH_SECONDS = 1.0
LOGGED_AT_MOST = 10  # between two flushes; of the others only the number is logged


class Tally:
    """The failures that are not written to Redis yet, and the timer that will write them.

    Args of the constructor:
        write: writes counts by reason; whatever it raises, the counts are written later.
        later: calls a function some seconds later, in another thread.
    """

    def __init__(
        self,
        write: Callable[[Counter[str]], None],
        later: Callable[[Callable[[], None]], None],
    ) -> None:
        self._write, self._later = write, later
        self.reset()

    def reset(self) -> None:
        """Forget all counts and the timer.

        For a forked process, which has no timer thread; its parent writes the counts.
        """
        self._lock = threading.Lock()
        self._pending: Counter[str] = Counter()
        self._since_flush = 0
        self._has_timer = False
        self._fails = False

    def __len__(self) -> int:
        """How many different reasons wait to be written."""
        return len(self._pending)

    def add(self, reason: str, *, is_logged: bool = True) -> int:
        """Count a failure; return the number of those to be logged since the last flush."""
        with self._lock:
            self._pending[reason] += 1
            self._since_flush += is_logged
            if not self._has_timer:
                self._set_timer()
            return self._since_flush

    def _set_timer(self) -> None:
        try:
            self._later(self.flush)
            self._has_timer = True
        except RuntimeError:  # no thread can be started: the next failure will try again
            self._has_timer = False

    def flush(self) -> None:
        """Write the pending counts; set the timer again if there are new ones by then."""
        with self._lock:
            due, self._pending = self._pending, Counter()
            unlogged, self._since_flush = self._since_flush - LOGGED_AT_MOST, 0
        if unlogged > 0:
            logger.warning("refused %d more requests than are logged one by one", unlogged)
        kept = self._try_to_write(due)  # without the lock: requests count on while Redis is slow
        with self._lock:
            self._pending.update(kept)
            self._has_timer = False
            if self._pending:
                self._set_timer()

    def _try_to_write(self, due: Counter[str]) -> Counter[str]:
        """Return the counts that have to be written again."""
        try:
            self._write(due)
        # Any exception: it must not end the counting. If only Redis' reply was lost, these counts
        # are written twice.
        except Exception as error:
            if not self._fails:
                logger.warning("calls can't be counted for now: %s", error)
            self._fails = True
            return due
        self._fails = False
        return Counter()


def count(reason: str) -> bool:
    """Count a refused signature or token; tell whether the caller should log it."""
    _count_as_metric(reason)
    return _tally.add(reason) <= LOGGED_AT_MOST


def count_unlogged(reason: str) -> None:
    """Count a failure of another kind, which the caller does not log."""
    _count_as_metric(reason)
    _tally.add(reason, is_logged=False)


def _count_as_metric(reason: str) -> None:
    caller, _, rest = reason.rpartition(":")
    metrics.REFUSALS.labels(caller or "connector", rest).inc()


def daily(days: int) -> dict[str, dict[str, int]]:
    """Return the counts of the last days (UTC), newest first: {"2026-01-31": {"replayed": 3}}.

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


def run_later(flush: Callable[[], None], seconds: float = FLUSH_SECONDS) -> None:
    """Call a function after some seconds, in another thread."""
    timer = threading.Timer(seconds, flush)
    timer.daemon = True  # a process that ends does not wait for Redis
    timer.start()


_tally = Tally(_write, run_later)
os.register_at_fork(after_in_child=_tally.reset)
