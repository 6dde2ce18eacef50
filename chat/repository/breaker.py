"""A circuit breaker: a dead store costs a few calls their timeout, not every one.

Closed: calls go through. After some failures in a row it is open: calls fail at once. After a pause
one call, and only one, goes through as a probe; its success closes the breaker. The lock is held
while the state changes, never during a call.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from chat.conversations.state import ConversationKey, ConversationState
from chat.errors import StoreConflict, StoreError, StoreRefused, StoreUnavailable
from chat.repository import ConversationRepository, Stored, StoreInfo

logger = logging.getLogger(__name__)

FAILURES_TO_OPEN = 3

Result = TypeVar("Result")


class Breaker:
    """Counts what calls to one store come to.

    A failure is a StoreUnavailable that is an outage. A StoreConflict or StoreRefused proves
    nothing either way (a dead Redis behind a sidecar answers 409); all else is a success.

    Args of the constructor:
        pause_seconds: how long calls fail at once before one may try again.
        clock: the monotonic clock, in seconds.
    """

    def __init__(
        self, *, pause_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._retry_at: float | None = None  # None: closed
        self._probing = False

    def call(self, function: Callable[[], Result]) -> Result:
        """Call the function, unless the store is known to be away.

        Raises:
            StoreUnavailable: it is; or what the function raises.
        """
        is_probe = self._enter()
        try:
            result = function()
        except StoreError as error:
            self._leave(is_probe, _verdict(error))
            raise
        except BaseException:
            self._leave(is_probe, None)
            raise
        self._leave(is_probe, True)
        return result

    def _enter(self) -> bool:
        """Let a call in, or raise; return whether it is the probe."""
        with self._lock:
            if self._retry_at is None:
                return False
            if self._probing or self._clock() < self._retry_at:
                raise StoreUnavailable()
            self._probing = True
            return True

    def _leave(self, is_probe: bool, success: bool | None) -> None:
        """Note a call's outcome; None proves nothing."""
        with self._lock:
            if is_probe:
                self._probing = False
            elif self._retry_at is not None:
                return  # it began before the breaker opened
            if success:
                self._close()
            elif success is False:
                self._failures += 1
                if is_probe or self._failures >= FAILURES_TO_OPEN:
                    self._open()

    def _open(self) -> None:
        if self._retry_at is None:
            logger.error(
                "the conversation store is away; asked again every %s s", self._pause_seconds
            )
        self._retry_at = self._clock() + self._pause_seconds

    def _close(self) -> None:
        if self._retry_at is not None:
            logger.warning("the conversation store is back")
        self._failures = 0
        self._retry_at = None


def _verdict(error: StoreError) -> bool | None:
    """What an exception says about the store: that it answers, that it does not, or nothing."""
    if isinstance(error, StoreUnavailable):
        return False if error.is_outage else None
    if isinstance(error, StoreConflict | StoreRefused):
        return None
    return True


class GuardedRepository:
    """A ConversationRepository that asks another one through a breaker."""

    def __init__(self, inner: ConversationRepository, breaker: Breaker) -> None:
        self._inner = inner
        self.breaker = breaker

    def get(self, key: ConversationKey, deadline: float) -> Stored:
        """See ConversationRepository."""
        return self.breaker.call(lambda: self._inner.get(key, deadline))

    def save(
        self, state: ConversationState, etag: str | None, ttl_seconds: int, deadline: float
    ) -> None:
        """See ConversationRepository."""
        self.breaker.call(lambda: self._inner.save(state, etag, ttl_seconds, deadline))

    def delete(self, key: ConversationKey, etag: str, deadline: float) -> None:
        """See ConversationRepository."""
        self.breaker.call(lambda: self._inner.delete(key, etag, deadline))

    def check(self, deadline: float) -> StoreInfo:
        """See ConversationRepository."""
        return self.breaker.call(lambda: self._inner.check(deadline))
