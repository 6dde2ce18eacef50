"""Whether a call to Redis is tried again after an error, for threads and for an event loop.

Redis' own errors end here: what a caller gets is Unavailable or Corrupt.
"""

import logging
import re
import time
from collections.abc import Hashable

from django.conf import settings
from redis import exceptions
from redis.asyncio import sentinel as asyncio_sentinel
from redis.sentinel import MasterNotFoundError

from common.redis_cluster import routes
from common.telemetry import metrics
from connector_state.errors import Corrupt, Unavailable
from connector_state.store.scripts import Script

# Within a script, and before Redis 7, refusals have no type.
_DENIED = re.compile(
    "NOPERM|NOAUTH|ACL failure|no permissions|can't run|[Uu]nknown (Redis )?command"
)

# The answer to every command: protected mode, and a number that no database has.
_SET_UP_WRONGLY = re.compile("^DENIED |DB index is out of range")

_PASSES = re.compile("ConnectionError|TimeoutError")

logger = logging.getLogger(__name__)

STORE_FULL = "store_full"  # code of Unavailable
RETRY_PAUSE_SECONDS = 0.05
REDIRECTIONS_MAX = 5  # of one call, each followed at once; then it waits as for a fail-over
CALL_SECONDS_MAX = 9.0  # of a call with all its attempts: connectors give up after 10
OUTAGE_GAP_SECONDS = 10  # with no call that failed in between, it is another outage


class _Outage:
    """How long Redis has been failing, as this process saw it.

    Each call waits for a fail-over, but not for ever: once Redis has been failing for longer than
    that under load, further calls try once. Otherwise they would all queue up for threads, and be
    answered long after their clients had gone.

    A cluster fails in parts: a `place` is a node's name, or a slot; without a cluster it is None.
    """

    def __init__(self) -> None:
        self._periods: dict[Hashable, tuple[float, float]] = {}  # begin and last failure, by place

    def failing_since(self, now: float, place: Hashable = None) -> float:
        """Note a failure; return when the outage began that it belongs to (monotonic, s)."""
        began, last = self._periods.get(place, (now, now))
        if now - last > OUTAGE_GAP_SECONDS:
            began = now
        self._periods[place] = began, now
        return began

    def over(self, key: str | bytes | None = None) -> None:
        """Note a success, of a call for this key on a cluster."""
        if not self._periods:
            return
        if key is None:
            self._periods.clear()
            return
        for place in routes.places_of(key):
            self._periods.pop(place, None)


_outage = _Outage()


class Attempts:
    """The attempts at one call: of which source the next one is, and whether there is a next one.

    A call ends in time whatever Redis does: REDIS_RETRY_SECONDS and one attempt after its begin,
    and after CALL_SECONDS_MAX at the latest. Each attempt has to keep to `remaining_seconds`.

    A call may reach Redis twice, when its reply was lost. Scripts are written for that: the claim
    id in their arguments tells a retry from a replay.

    On a cluster, `key` is one of the call's keys, which are all in one slot; else it is None.
    """

    def __init__(self, script: Script, when_full: bool, key: str | bytes | None = None) -> None:
        self.source = script.usual
        self._for_a_full_redis = script.when_full if when_full else script.usual
        self._key, self._redirections = key, 0
        self._give_up_at: float | None = None
        self._began = time.perf_counter()
        seconds = settings.REDIS_ATTEMPT_SECONDS + settings.REDIS_RETRY_SECONDS
        self._deadline = time.monotonic() + min(seconds, CALL_SECONDS_MAX)
        self.is_first = True

    @property
    def remaining_seconds(self) -> float:
        """How long this attempt may take, connecting included, until the call's time is up."""
        return max(0.0, self._deadline - time.monotonic())

    def pause_after(self, error: Exception) -> float:
        """Return how many seconds to wait before the next attempt.

        Raises:
            Unavailable, Corrupt: there is no next one.
        """
        metrics.REDIS_ERRORS.labels(type(error).__name__).inc()
        self.is_first = False
        if isinstance(error, exceptions.OutOfMemoryError):
            if self.source is self._for_a_full_redis:
                raise _full() from error
            self.source = self._for_a_full_redis
            return 0
        _raise_if_final(error)
        if self._is_redirected(error):
            return 0
        now = time.monotonic()
        began = _outage.failing_since(now, self._place(error))
        if self._give_up_at is None:
            self._give_up_at = began + settings.REDIS_RETRY_SECONDS
        if now >= min(self._give_up_at, self._deadline - RETRY_PAUSE_SECONDS):
            logger.error("Redis did not answer: %s: %s", type(error).__name__, error)
            raise Unavailable() from error
        return RETRY_PAUSE_SECONDS

    def succeeded(self) -> None:
        """Note that Redis answered."""
        metrics.REDIS_SECONDS.observe(time.perf_counter() - self._began)
        _outage.over(self._key)

    def _is_redirected(self, error: Exception) -> bool:
        """Whether another node has the slot, as far as is known now, and can be asked at once."""
        if self._key is None or not isinstance(error, exceptions.MovedError):
            return False
        routes.learn(error)
        self._redirections += 1
        return self._redirections <= REDIRECTIONS_MAX

    def _place(self, error: Exception) -> Hashable:
        # While a slot is moved key by key, neither node carries out a script that has a new key, as
        # each nonce is: ASK and TRYAGAIN are waited out, and ASKING would be of no use.
        if self._key is None:
            return None
        place = routes.place_of(self._key, error)
        routes.learn(error, place)
        return place


def _raise_if_final(error: Exception) -> None:
    """Raise what trying again can't change."""
    if is_denied(error) or is_set_up_wrongly(error):
        logger.error("Redis refuses what a call does: %s", error)
        raise Unavailable(
            "The state store refuses this service a command or a key; nothing was read or written. "
            "An operator has to look at its address, its user and its permissions.",
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


def is_set_up_wrongly(error: Exception) -> bool:
    """Whether Redis refuses whatever it is asked, until its configuration or our URL is changed."""
    return isinstance(error, exceptions.ResponseError) and bool(_SET_UP_WRONGLY.search(str(error)))


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
