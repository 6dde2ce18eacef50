"""Authentication failures, counted by reason in Redis, a day each.

Only reasons of ours are stored, never what was sent: nobody can fill Redis by failing. Counting is
best effort, and no request waits for it: a timer writes what was counted, at most once a second per
process. What a process counted in its last second is lost with it.
"""

import logging
import os
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django_redis import get_redis_connection

logger = logging.getLogger(__name__)

DAYS_KEPT = 30
FLUSH_SECONDS = 1.0
LOGGED_AT_MOST = 10  # between two flushes; the others are counted, and their number is logged


class Tally:
    """Failures that are not written yet, and the one timer that will write them.

    Args of the constructor:
        write: writes numbers by reason.
        later: calls a function after FLUSH_SECONDS, in a thread of its own.
    """

    def __init__(
        self,
        write: Callable[[Counter[str]], None],
        later: Callable[[Callable[[], None]], None],
    ) -> None:
        self._write, self._later = write, later
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget everything: a forked process has no timer, and its parent writes what was here."""
        self._lock = threading.Lock()
        self._pending: Counter[str] = Counter()
        self._since_flush = 0
        self._has_timer = False
        self._fails = False

    def add(self, reason: str, *, is_signed: bool = True) -> int:
        """Count one failure; return how many signed requests were refused since the last flush."""
        with self._lock:
            self._pending[reason] += 1
            self._since_flush += is_signed
            if not self._has_timer:
                self._set_timer()
            return self._since_flush

    def _set_timer(self) -> None:
        try:
            self._later(self.flush)
            self._has_timer = True
        except RuntimeError:  # no thread can be started; the next failure tries again
            self._has_timer = False

    def flush(self) -> None:
        """Write what is pending; set the timer again when something is pending afterwards."""
        with self._lock:
            due, self._pending = self._pending, Counter()
            unlogged, self._since_flush = self._since_flush - LOGGED_AT_MOST, 0
        if unlogged > 0:
            logger.warning("refused %d more signed requests than are logged one by one", unlogged)
        kept = self._try_to_write(due)
        with self._lock:
            self._pending.update(kept)
            self._has_timer = False
            if self._pending:
                self._set_timer()

    def _try_to_write(self, due: Counter[str]) -> Counter[str]:
        """Return what is to be written again. If only the answer was lost, it counts twice."""
        try:
            self._write(due)
        except Exception as error:  # whatever it is, the next ones must be counted
            if not self._fails:
                logger.warning("authentication failures can't be counted for now: %s", error)
            self._fails = True
            return due
        self._fails = False
        return Counter()


def count(reason: str) -> bool:
    """Count a refused signature; return whether it is one of the few that are to be logged."""
    return _tally.add(reason) <= LOGGED_AT_MOST


def count_unlogged(reason: str) -> None:
    """Count another failure, which no line of the log is about."""
    _tally.add(reason, is_signed=False)


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


def _later(flush: Callable[[], None]) -> None:
    timer = threading.Timer(FLUSH_SECONDS, flush)
    timer.daemon = True  # a process that ends waits for no Redis
    timer.start()


_tally = Tally(_write, _later)
os.register_at_fork(after_in_child=_tally.begin_anew)
