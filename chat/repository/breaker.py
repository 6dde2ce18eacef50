"""A circuit breaker: when the store is down, calls fail at once instead of waiting for a timeout.

While it is closed, all calls go through. FAILURES_TO_OPEN failures in a row open it, and calls fail
at once. After a pause a single call goes through as a probe; if it succeeds, the breaker closes.
The lock is held while the breaker's state changes, never during a call.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from chat.conversations.state import ConversationKey, ConversationState
from chat.errors import (
    StoreConflict,
    StoreError,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
)
from chat.repository import ConversationRepository, StoredConversation, StoreInfo
from common.telemetry import metrics

logger = logging.getLogger(__name__)

FAILURES_TO_OPEN = 3

Result = TypeVar("Result")


class Breaker:
    """Lets calls to one store through, or refuses them, by the outcome of those before.

    A StoreUnavailable that is an outage counts as a failure. StoreConflict and StoreRefused don't
    count, because they prove nothing (a sidecar whose Redis is down answers 409). All else, also
    StoreMissing and StoreCorrupt, counts as a success.

    Args of the constructor:
        pause_seconds: the time from a failure until the next probe.
        clock: the monotonic clock, in seconds.
        on_failure: called, without the lock, after the first of some failures.
        on_recovery: called likewise after the first success that follows failures.
    """

    def __init__(
        self,
        *,
        pause_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        on_failure: Callable[[], None] = lambda: None,
        on_recovery: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_failure, self._on_recovery = on_failure, on_recovery
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._retry_at: float | None = None  # None: closed
        self._probing = False

    def call(self, function: Callable[[], Result]) -> Result:
        """Call the function, unless the breaker is open; return its result.

        Raises:
            StoreUnavailable: the breaker is open.
            Exception: whatever the function raises.
        """
        is_probe = self._enter()
        try:
            with metrics.STORE_SECONDS.time():
                result = function()
        except StoreError as error:
            if not isinstance(error, StoreMissing):
                metrics.STORE_ERRORS.labels(type(error).__name__).inc()
            self._leave(is_probe, _verdict(error))
            raise
        except BaseException:
            self._leave(is_probe, None)
            raise
        self._leave(is_probe, True)
        return result

    def _enter(self) -> bool:
        """Admit a call, or raise; return whether it is the probe."""
        with self._lock:
            if self._retry_at is None:
                return False
            if self._probing or self._clock() < self._retry_at:
                metrics.STORE_ERRORS.labels("BreakerOpen").inc()
                raise StoreUnavailable()
            self._probing = True
            return True

    def _leave(self, is_probe: bool, success: bool | None) -> None:
        """Record the outcome of a call, and tell of a change; None: it does not count."""
        before = self._failures
        self._count(is_probe, success)
        if success is False and before == 0:
            self._on_failure()
        elif success and before:
            self._on_recovery()

    def _count(self, is_probe: bool, success: bool | None) -> None:
        with self._lock:
            if is_probe:
                self._probing = False
            elif self._retry_at is not None:
                return  # the call began before the breaker opened
            if success:
                self._close()
            elif success is False:
                self._failures += 1
                if is_probe or self._failures >= FAILURES_TO_OPEN:
                    self._open()

    def _open(self) -> None:
        if self._retry_at is None:
            logger.error(
                "the conversation store is down; trying again every %s s", self._pause_seconds
            )
            metrics.BREAKER_OPEN.set(1)
        self._retry_at = self._clock() + self._pause_seconds

    def _close(self) -> None:
        if self._retry_at is not None:
            logger.warning("the conversation store is back")
            metrics.BREAKER_OPEN.set(0)
        self._failures = 0
        self._retry_at = None


def _verdict(error: StoreError) -> bool | None:
    """Return whether an exception counts as a success; None: it does not count."""
    if isinstance(error, StoreUnavailable):
        return False if error.is_outage else None
    if isinstance(error, StoreConflict | StoreRefused):
        return None
    return True


class GuardedRepository:
    """Calls another ConversationRepository through a breaker."""

    def __init__(self, inner: ConversationRepository, breaker: Breaker) -> None:
        self._inner = inner
        self.breaker = breaker

    def get(self, key: ConversationKey, deadline: float) -> StoredConversation:
        return self.breaker.call(lambda: self._inner.get(key, deadline))

    def save(
        self, state: ConversationState, etag: str | None, ttl_seconds: int, deadline: float
    ) -> None:
        self.breaker.call(lambda: self._inner.save(state, etag, ttl_seconds, deadline))

    def delete(self, key: ConversationKey, etag: str, deadline: float) -> None:
        self.breaker.call(lambda: self._inner.delete(key, etag, deadline))

    def check(self, deadline: float) -> StoreInfo:
        # Not by the breaker: a probe asks more than chats do, and nobody waits for it.
        return self._inner.check(deadline)
