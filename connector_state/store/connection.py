"""Scripts on Redis: one round trip each, tried again while Redis fails over.

Redis' own errors end here: what leaves this module is Unavailable or Corrupt. `run` blocks its
thread; loop.run does the same on an event loop, by the same Attempts.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import hiredis
from django.conf import settings
from django_redis import get_redis_connection
from redis import exceptions

from connector_state.errors import Corrupt, Unavailable

logger = logging.getLogger(__name__)

RETRY_PAUSE_SECONDS = 0.05
FULL_ALLOWED = "#!lua flags=allow-oom"  # from Redis 7 on
OUTAGE_GAP_SECONDS = 10  # with no call that failed in between, it is another outage

Argument = str | bytes | int


@dataclass(frozen=True)
class Source:
    """A Lua script as Redis takes it, which knows it by its digest."""

    text: str

    @cached_property
    def sha(self) -> str:
        """SHA-1, hexadecimal."""
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class Script:
    """Files of scripts/, joined to one text.

    Redis refuses the `usual` one when it has no memory left, and carries out `when_full`: the same
    text, with the flag that says so.
    """

    folder = Path(__file__).parent / "scripts"

    def __init__(self, *files: str) -> None:
        self.uses_index = "index" in files
        self.usual = Source("\n".join((self.folder / f"{file}.lua").read_text() for file in files))
        self.when_full = Source(f"{FULL_ALLOWED}\n{self.usual.text}")


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


_local = threading.local()
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

    def pause_after(self, error: Exception) -> float:
        """Return how many seconds to wait before the next attempt.

        Raises:
            Unavailable, Corrupt: there is no next one.
        """
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
        _outage.over()


def run(
    script: Script,
    keys: Sequence[Argument],
    arguments: Sequence[Argument],
    *,
    when_full: bool = False,
) -> list[Any]:
    """Run the script and return its reply.

    Args:
        when_full: run it in a Redis without memory too. It must add no value; a nonce for some
            minutes, the rate and entries of the audit it does add.

    Raises:
        Unavailable: Redis did not answer within REDIS_RETRY_SECONDS, or can't carry it out now.
        Corrupt: a key holds another type than its script expects.
    """
    attempts = Attempts(script, when_full)
    while True:
        try:
            reply = _evaluate(attempts.source, keys, arguments)
        except (exceptions.RedisError, OSError) as error:
            if pause := attempts.pause_after(error):
                time.sleep(pause)
        else:
            attempts.succeeded()
            return reply


def _raise_if_final(error: Exception) -> None:
    """Raise what trying again can't change."""
    if not isinstance(error, exceptions.ResponseError):
        return
    if "WRONGTYPE" in str(error):
        raise Corrupt(
            "What is stored under this key is not a string; an operator has to look at it."
        ) from error
    if "-OOM " in str(error):  # before Redis 7, which first named it by itself
        raise _full() from error


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
    return Unavailable("The state store is full; nothing can be added.", code="store_full")


def _evaluate(source: Source, keys: Sequence[Argument], arguments: Sequence[Argument]) -> list[Any]:
    """EVALSHA, or EVAL where Redis does not know the script (a new or restarted server)."""
    connection = _thread_connection()
    try:
        try:
            reply = _command(connection, "EVALSHA", source.sha, len(keys), *keys, *arguments)
        except exceptions.NoScriptError:
            reply = _command(connection, "EVAL", source.text, len(keys), *keys, *arguments)
    except BaseException as error:
        if not (isinstance(error, Exception) and keeps_connection(error)):
            connection.disconnect()
        raise
    return list(reply)


def _command(connection: Any, *command: Argument) -> Any:
    if not connection.is_connected:
        connection.connect()  # by itself, sending would not ask the sentinels for the primary
    connection.send_packed_command([hiredis.pack_command(command)])
    return connection.read_response()


def _thread_connection() -> Any:
    """Return this thread's own connection, not connected until it is used.

    A pool's get and release, and the client's layers above a connection, cost a third of a call.
    """
    try:
        return _local.connection
    except AttributeError:
        # Made beside the pool, which counts what it makes and is never told that a thread ended.
        pool = get_redis_connection().connection_pool
        _local.connection = pool.connection_class(**pool.connection_kwargs)
        return _local.connection
