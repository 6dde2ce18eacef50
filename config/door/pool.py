"""Django in a pool of threads, for all that waits longer than a loop may: admin, chat, listings.

The threads last, and with them their database connections. They are daemons: one that a stream
holds must not keep the process from ending.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import IO, Any, TypeVar

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase

from common.deferred import TAKES_DEFERRED, DeferredResponse, LoopStreamResponse
from config.door import stopping
from config.door.receive import Receive
from config.door.reply import Reply
from config.serving import Application

T = TypeVar("T")

EVENT_STREAM = "text/event-stream"
EVENT_SECONDS_MAX = 30.0  # to hand one piece of an event stream over; a download may be paused


class Threads:
    """At most so many threads, each started when none is idle. Jobs wait in order."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._started = 0
        self._idle = threading.Semaphore(0)
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function in a thread, and return what it returns; called on a loop."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()
        context = copy_context()  # a thread has none of the request that it works for

        def job() -> None:
            try:
                result = context.run(function, *args)
            except BaseException as error:  # whatever it is, it is the caller's
                _tell(loop, outcome.set_exception, outcome, error)
            else:
                _tell(loop, outcome.set_result, outcome, result)

        self._jobs.put(job)
        if not self._idle.acquire(blocking=False) and self._started < self._most:
            self._started += 1
            threading.Thread(target=self._work, name="door", daemon=True).start()
        return await outcome

    def _work(self) -> None:
        while True:
            self._jobs.get()()
            self._idle.release()


def _tell(
    loop: asyncio.AbstractEventLoop, tell: Callable[[Any], None], future: Any, outcome: Any
) -> None:
    def unless_cancelled() -> None:
        if not future.done():
            tell(outcome)

    try:
        loop.call_soon_threadsafe(unless_cancelled)
    except RuntimeError:  # the loop is closed: nobody waits any more
        pass


class Pool:
    """The bridge from the loop to Django's WSGI application in threads."""

    def __init__(self, application: Application, threads: int) -> None:
        self._application = application
        self._threads = Threads(threads)
        self._event_streams: set[_Stream] = set()
        self._listens = False

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function in one of the threads, and return what it returns."""
        return await self._threads.run(function, *args)

    async def answer(
        self, environ: dict[str, Any], body: IO[bytes], receive: Receive, reply: Reply
    ) -> None:
        """Answer a request whose body was received."""
        environ["wsgi.input"] = body
        environ[TAKES_DEFERRED] = True
        response = await self.run(self._respond, environ)
        if isinstance(response, DeferredResponse):
            response = await response.wait()
        if not isinstance(response, StreamingHttpResponse):
            await reply.send(response)
            return
        goes_on = False
        try:
            goes_on = not await reply.send(response)
        finally:
            if not goes_on:  # of a HEAD, or it can't be sent: what the stream holds is given back
                await self.run(response.close)
        if not goes_on:
            return
        is_events = response.headers.get("Content-Type", "").startswith(EVENT_STREAM)
        stream = _Stream(response, receive, reply, EVENT_SECONDS_MAX if is_events else None)
        if is_events:
            self._note_event_stream(stream)
        try:
            await stream.pass_on(self.run)
        finally:
            self._event_streams.discard(stream)

    def _respond(self, environ: dict[str, Any]) -> HttpResponseBase:
        response = self._application.respond(environ)
        if not response.streaming:
            response.close()  # in the thread that answered, as signals are sent by it
        return response

    def _note_event_stream(self, stream: "_Stream") -> None:
        if not self._listens:
            self._listens = True
            stopping.listen(self.end_event_streams)
        self._event_streams.add(stream)

    def end_event_streams(self) -> None:
        """End what has no end of its own; a file that is being sent is sent to its end."""
        for stream in self._event_streams:
            stream.stop()


class _Stream:
    """A stream that a thread makes and the loop sends, each piece as it comes.

    The thread goes on when a piece was handed to the server, so a slow client slows it down. When
    the client has left or the server stops, it makes no further piece, and closes the generator;
    so it does when a piece could not be handed over within `seconds_max` (None: any time).
    """

    def __init__(
        self,
        response: StreamingHttpResponse,
        receive: Receive,
        reply: Reply,
        seconds_max: float | None,
    ) -> None:
        self._response, self._receive, self._reply = response, receive, reply
        self._seconds_max, self._is_stuck = seconds_max, False
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()

    def stop(self) -> None:
        self._over.set()

    async def pass_on(self, run: Callable[..., Any]) -> None:
        """Send it all. Returns early where nobody listens any more, even if the thread waits."""
        on_loop = isinstance(self._response, LoopStreamResponse)
        making = self._loop.create_task(self._make_on_loop(run) if on_loop else run(self._make))
        leaving = self._loop.create_task(self._wait_for_disconnect())
        over = self._loop.create_task(self._over.wait())
        await asyncio.wait({making, over}, return_when=asyncio.FIRST_COMPLETED)
        self._over.set()
        leaving.cancel()
        over.cancel()
        if making.done():
            making.result()
        if not self._is_stuck:  # the end would have to wait, too
            await self._reply.end()

    async def _wait_for_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._over.set()

    def _make(self) -> None:
        try:
            for content in self._response:
                sending = asyncio.run_coroutine_threadsafe(self._send(content), self._loop)
                if not sending.result():
                    return
        finally:
            self._response.close()

    async def _make_on_loop(self, run: Callable[..., Any]) -> None:
        assert isinstance(self._response, LoopStreamResponse)
        try:
            async for content in self._response.on_loop(run):
                if not await self._send(content):
                    return
        finally:
            await run(self._response.close)

    async def _send(self, content: bytes) -> bool:
        if self._over.is_set():
            return False
        if content:
            try:
                async with asyncio.timeout(self._seconds_max):
                    await self._reply.piece(content)
            except TimeoutError:  # its client does not read
                self._is_stuck = True
                self._over.set()
                return False
        return True
