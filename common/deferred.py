"""Answers that come later, for a server whose threads don't wait for them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

Run = Callable[..., Awaitable[Any]]  # runs a function in a thread

TAKES_DEFERRED = "statekeep.takes_deferred"  # in WSGI's environ: whether the server can wait


class Waker:
    """Wakes a coroutine of this loop; any thread may call it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.woken = asyncio.Event()

    def wake(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self.woken.set)


class DeferredResponse(HttpResponse):
    """Stands for an answer that is made when something is over.

    Middlewares see this one. The headers that they set are added to those of the answer, which may
    be a stream, or stand for another one itself.
    """

    def __init__(self, over: "Future[Any]", make: Callable[[], HttpResponseBase]) -> None:
        super().__init__()
        del self.headers["Content-Type"]
        self._over, self._make = over, make

    async def wait(self) -> HttpResponseBase:
        """Return the answer."""
        waker = Waker()
        self._over.add_done_callback(lambda _: waker.wake())
        try:
            # Unlike awaiting the future, this cancels nothing when the request is cancelled.
            await waker.woken.wait()
        except asyncio.CancelledError:  # nobody waits any more: what it would hold is given back
            self._over.add_done_callback(lambda _: self._make().close())
            raise
        response = self._make()
        if isinstance(response, DeferredResponse):
            response = await response.wait()
        for name, value in self.headers.items():
            response.headers.setdefault(name, value)
        return response


class LoopStream(Protocol):
    """A stream that is made in a thread, or on a loop."""

    def __iter__(self) -> Iterator[bytes]: ...

    def on_loop(self, run: Run) -> AsyncIterator[bytes]:
        """Yield the same on a loop; `run` is for what only a thread can do."""

    def close(self) -> None: ...


class LoopStreamResponse(StreamingHttpResponse):
    """The answer that such a stream is; a server that knows no better iterates over it."""

    def __init__(self, stream: LoopStream, content_type: str, headers: dict[str, str]) -> None:
        super().__init__(stream, content_type=content_type, headers=headers)
        self.on_loop = stream.on_loop
