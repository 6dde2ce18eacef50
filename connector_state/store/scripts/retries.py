"""Whether a call to Redis is tried again after an error, for threads and for an event loop.

Redis' own errors end here: what a caller gets is Unavailable or Corrupt.
"""

import logging
import re
import time

from django.conf import settings
from redis import exceptions
from redis.asyncio import sentinel as asyncio_sentinel
from redis.sentinel import MasterNotFoundError

from common.telemetry import metrics
from connector_state.errors import Corrupt, Unavailable
from connector_state.store.scripts import Script

# Within a script, and before Redis 7, refusals have no type.
_DENIED = re.compile(
    "NOPERM|NOAUTH|ACL failure|no permissions|can't run|[Uu]nknown (Redis )?command"
)

_PASSES = re.compile("ConnectionError|TimeoutError")

logger = logging.getLogger(__name__)

STORE_FULL = "store_full"  # code of Unavailable
RETRY_PAUSE_SECONDS = 0.05
OUTAGE_GAP_SECONDS = 10  # with no call that failed in between, it is another outage


class _Outage:
    """How long Redis has been failing, as this process saw it.

    Each call waits for a fail-over, but not for ever: once Redis has been failing for longer than
    that under load, further calls try once. Otherwise they would all queue up for threads, and be
    answered long after their clients had gone.
    """

    def __init__(self) -> None:
        self._began = self._last_failure = float("-inf")

    def failing_since(self, now: float) -> float:
        """Note a failure; return when the outage began that it belongs to (monotonic, s)."""
        if now - self._last_failure > OUTAGE_GAP_SECONDS:
            self._began = now
        self._last_failure = now
        return self._began

    def over(self) -> None:
        """Note a success."""
        self._last_failure = float("-inf")


_outage = _Outage()


class Attempts:
    """The attempts at one call: of which source the next one is, and whether there is a next one.

    A call may reach Redis twice, when its reply was lost. Scripts are written for that: the claim
    id in their arguments tells a retry from a replay.
    """

    def __init__(self, script: Script, when_full: bool) -> None:
        self.source = script.usual
        self._for_a_full_redis = script.when_full if when_full else script.usual
        self._give_up_at: float | None = None
        self._began = time.perf_counter()

    def pause_after(self, error: Exception) -> float:
        """Return how many seconds to wait before the next attempt.

        Raises:
            Unavailable, Corrupt: there is no next one.
        """
        metrics.REDIS_ERRORS.labels(type(error).__name__).inc()
        if isinstance(error, exceptions.OutOfMemoryError):
            if self.source is self._for_a_full_redis:
                raise _full() from error
            self.source = self._for_a_full_redis
            return 0
        _raise_if_final(error)
        now = time.monotonic()
        began = _outage.failing_since(now)
        if self._give_up_at is None:
            self._give_up_at = began + settings.REDIS_RETRY_SECONDS
        if now >= self._give_up_at:
            logger.error("Redis did not answer: %s: %s", type(error).__name__, error)
            raise Unavailable() from error
        return RETRY_PAUSE_SECONDS

    def succeeded(self) -> None:
        """Note that Redis answered."""
        metrics.REDIS_SECONDS.observe(time.perf_counter() - self._began)
        _outage.over()


def _raise_if_final(error: Exception) -> None:
    """Raise what trying again can't change."""
    if is_denied(error):
        logger.error("Redis refuses what a call does: %s", error)
        raise Unavailable(
            "The state store refuses this service a command or a key; nothing was read or written. "
            "An operator has to look at its user and its permissions.",
            code="store_denied",
        ) from error
    if not isinstance(error, exceptions.ResponseError):
        return
    if "WRONGTYPE" in str(error):
        raise Corrupt(
            "What is stored under this key is not a string; an operator has to look at it."
        ) from error
    if "-OOM " in str(error):  # before Redis 7, which first named it by itself
        raise _full() from error


def is_denied(error: Exception) -> bool:
    """Whether Redis, or each sentinel, refuses us: our password, a command or a key."""
    if isinstance(error, exceptions.AuthenticationError | exceptions.NoPermissionError):
        return True
    if isinstance(error, MasterNotFoundError | asyncio_sentinel.MasterNotFoundError):
        # It names what each sentinel answered. One that does not answer now may do so later.
        return "AuthenticationError" in str(error) and not _PASSES.search(str(error))
    return isinstance(error, exceptions.ResponseError) and _DENIED.search(str(error)) is not None


def keeps_connection(error: Exception) -> bool:
    """Whether the connection is still good after this error.

    After an answer it is, unless the answer says that this is not the primary any more: connecting
    again finds out who is. After all else a reply may be under way, and must not meet another call.
    """
    if not isinstance(error, exceptions.ResponseError):
        return False
    is_replica = isinstance(error, exceptions.ReadOnlyError | exceptions.ClusterDownError)
    return not is_replica and "-READONLY " not in str(error)  # so before Redis 7


def _full() -> Unavailable:
    return Unavailable("The state store is full; nothing can be added.", code=STORE_FULL)
