"""Scripts on Redis, from an event loop: as connection.run, without blocking.

All calls of a loop share one connection, with many of them in flight; on a cluster, one for each
node. Redis answers in order, so the oldest call gets the next reply, and one timer, for the oldest,
watches over all of them. Once a reply is late or lost, no later one can be told whose it is: the
connection is dropped, all that is in flight fails at once, and each call is tried again by itself
(retries.Attempts).
"""

import asyncio
import copy
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import hiredis
from django.conf import settings
from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from common.redis_cluster import routes
from connector_state.errors import Unavailable
from connector_state.store.scripts import Script, Source, connection, retries
from connector_state.store.scripts.loop_connection import connect, disconnect

WRITTEN_AT_ONCE = 128  # commands; then the socket must have room for more


class _Call(NamedTuple):
    packed: bytes
    reply: "asyncio.Future[Any]"


class _Pipe:
    """One connection, from before it is made until it ends, and the calls on it."""

    def __init__(self, node: Any, on_end: Callable[[], object]) -> None:
        self._node = node
        self._loop = asyncio.get_running_loop()
        self._on_end = on_end
        self._waiting: deque[_Call] = deque()
        self._in_flight: deque[tuple[float, _Call]] = deque()  # when each is late, oldest first
        self._has_waiting = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._is_late = False
        self._timeout_seconds = 0.0
        self.is_connected = False
        self._task = self._loop.create_task(self._serve())

    def send(self, command: tuple[connection.Argument, ...]) -> "asyncio.Future[Any]":
        """Send a command; the reply, or the connection's end, comes with the future."""
        call = _Call(hiredis.pack_command(command), self._loop.create_future())
        self._waiting.append(call)
        self._has_waiting.set()
        return call.reply

    async def close(self) -> None:
        """End it, and wait until it has."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _serve(self) -> None:
        """Connect, serve until it fails, is late or is cancelled, and clean up."""
        error: Exception = exceptions.ConnectionError("The connection was closed.")
        link = writer = None
        try:
            link = await connect(self._node)
            # redis-py's own limit would end a connection that is idle.
            self._timeout_seconds = min(link.socket_timeout, retries.CALL_SECONDS_MAX)
            link.socket_timeout = None
            self.is_connected = True
            writer = self._loop.create_task(self._write(link))
            await self._read(link)
        except (exceptions.RedisError, OSError) as failure:
            error = failure
        except asyncio.CancelledError:
            if not self._is_late:
                raise
            error = exceptions.TimeoutError("A reply is late.")
        finally:
            self._fail(error)
            if writer is not None:
                writer.cancel()
                await asyncio.gather(writer, return_exceptions=True)
            if link is not None:
                await disconnect(link)

    async def _write(self, link: AbstractConnection) -> None:
        while True:
            await self._has_waiting.wait()
            self._has_waiting.clear()
            while calls := self._next_calls():
                late_at = self._loop.time() + self._timeout_seconds
                self._in_flight.extend((late_at, call) for call in calls)
                self._watch()
                packed = [call.packed for call in calls]
                # When this fails the connection has ended, and so has the reading.
                await link.send_packed_command(packed, check_health=False)

    def _next_calls(self) -> list[_Call]:
        calls: list[_Call] = []
        while self._waiting and len(calls) < WRITTEN_AT_ONCE:
            call = self._waiting.popleft()
            if not call.reply.done():  # else its caller was cancelled
                calls.append(call)
        return calls

    async def _read(self, link: AbstractConnection) -> None:
        while True:
            reply, error = None, None
            try:
                reply = await link.read_response()
            except exceptions.ResponseError as answer:
                error = answer
            if not self._in_flight:
                raise exceptions.InvalidResponse("A reply came that no call waits for.")
            _, call = self._in_flight.popleft()
            if not call.reply.done():
                if error:
                    call.reply.set_exception(error)
                else:
                    call.reply.set_result(reply)
            if error and not retries.keeps_connection(error):
                raise error

    def _watch(self) -> None:
        """See to it that a late reply is noticed."""
        if self._timer is None and self._in_flight:
            self._timer = self._loop.call_at(self._in_flight[0][0], self._look_at_oldest)

    def _look_at_oldest(self) -> None:
        self._timer = None
        if self._in_flight and self._in_flight[0][0] <= self._loop.time():
            self._is_late = True
            self._task.cancel()
        else:
            self._watch()

    def _fail(self, error: Exception) -> None:
        self._on_end()
        if self._timer is not None:
            self._timer.cancel()
        for call in [*(call for _, call in self._in_flight), *self._waiting]:
            if not call.reply.done():
                call.reply.set_exception(copy.copy(error))
        self._in_flight.clear()
        self._waiting.clear()


class _Calls:
    """The calls of one event loop, and the connection that they share: one for each node."""

    def __init__(self) -> None:
        self.number = 0
        self._pipes: dict[Any, _Pipe] = {}  # without a cluster, the only node is None

    async def attempt(
        self,
        attempts: retries.Attempts,
        keys: Sequence[str],
        arguments: Sequence[connection.Argument],
    ) -> list[Any]:
        """Evaluate, within what is left of the call's time."""
        pipe = self._pipes.get(routes.pool_for(keys[0]))
        if pipe is not None and pipe.is_connected and attempts.is_first:
            # The pipe looks at how late replies are; a timer for each call would cost more.
            return await self.evaluate(attempts.source, keys, arguments)
        async with asyncio.timeout(attempts.remaining_seconds):
            return await self.evaluate(attempts.source, keys, arguments)

    async def evaluate(
        self,
        source: Source,
        keys: Sequence[str],
        arguments: Sequence[connection.Argument],
    ) -> list[Any]:
        """EVALSHA, or EVAL where Redis does not know the script (a new or restarted server)."""
        node = routes.pool_for(keys[0])
        try:
            return await self._send(node, "EVALSHA", source.sha, len(keys), *keys, *arguments)
        except exceptions.NoScriptError:
            return await self._send(node, "EVAL", source.text, len(keys), *keys, *arguments)

    def _send(self, node: Any, *command: connection.Argument) -> "asyncio.Future[list[Any]]":
        pipe = self._pipes.get(node)
        if pipe is None:
            # A pipe that ends is forgotten: it would keep a closed loop in memory, too.
            pipe = self._pipes[node] = _Pipe(node, on_end=partial(self._pipes.pop, node, None))
        return pipe.send(command)

    async def close(self) -> None:
        for pipe in list(self._pipes.values()):
            await pipe.close()


_calls_by_loop: "WeakKeyDictionary[asyncio.AbstractEventLoop, _Calls]" = WeakKeyDictionary()


def _calls() -> _Calls:
    loop = asyncio.get_running_loop()
    try:
        return _calls_by_loop[loop]
    except KeyError:
        return _calls_by_loop.setdefault(loop, _Calls())


async def run(
    script: Script,
    keys: Sequence[str],
    arguments: Sequence[connection.Argument],
    *,
    when_full: bool = False,
) -> list[Any]:
    """Run the script and return its reply.

    Arguments and errors are connection.run's; besides, Unavailable has the code `busy` when
    REDIS_MAX_CALLS_PER_PROCESS are running already.
    """
    calls, attempts = _calls(), retries.Attempts(script, when_full, routes.key_on_cluster(keys))
    if calls.number >= settings.REDIS_MAX_CALLS_PER_PROCESS:
        raise Unavailable("Too many calls are running; try again.", code="busy")
    calls.number += 1
    try:
        while True:
            try:
                reply = await calls.attempt(attempts, keys, arguments)
            except (exceptions.RedisError, OSError) as error:
                await asyncio.sleep(attempts.pause_after(error))
            else:
                attempts.succeeded()
                return reply
    finally:
        calls.number -= 1


async def close() -> None:
    """Close this event loop's connections; the next call makes another one."""
    await _calls().close()
