"""Bodies: within their limit and a time, before anything else is held.

No thread waits for a body. What comes in is counted, so all bodies together have a limit too.
"""

import asyncio
import io
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import IO, Any

Receive = Callable[[], Awaitable[dict[str, Any]]]

MEMORY_BYTES = 65_536  # of one body; what is larger goes to disk
WAIT_SECONDS = 10.0
BYTES_PER_SECOND_LEAST = 65_536  # of a body that takes longer
LOOK_SECONDS = 1.0  # from one look for late bodies to the next
DISCARD_SECONDS = 2.0


class ClientLeft(BaseException):
    """Nobody waits for an answer. No Exception: neither a view nor Django is to make one of it."""


class BodyRefused(Exception):
    """The body can't be taken. `status` is that of the answer, `code` and `detail` its words."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(code)
        self.status, self.code, self.detail = status, code, detail


def too_large() -> BodyRefused:
    """Return the refusal of a body that is larger than this caller may send."""
    detail = "The body is too large, or large and its sender not known."
    return BodyRefused(413, code="body_too_large", detail=detail)


class Room:
    """How many bytes of bodies this process holds at a time, and who waits for more of them.

    One timer looks after all who wait. One for each would cost a PUT a twentieth of its time.
    """

    def __init__(self, capacity: int) -> None:
        self.free = capacity
        self._waiting: dict[asyncio.Task[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, receive: Receive, until: float) -> dict[str, Any]:
        """Return what `receive` returns.

        Raises:
            TimeoutError: it has not by `until` (on the loop's clock), or up to LOOK_SECONDS later.
        """
        task = asyncio.current_task()
        assert task is not None
        self._waiting[task] = until
        if self._timer is None:  # not at once: a task that cancels itself may be past `receive`
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._end_late)
        try:
            return await receive()
        except asyncio.CancelledError:
            if task in self._waiting or task.uncancel():
                raise  # somebody else cancelled it
            raise TimeoutError from None
        finally:
            self._waiting.pop(task, None)

    def _end_late(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for task in [task for task, until in self._waiting.items() if until <= now]:
            del self._waiting[task]
            task.cancel()
        self._timer = loop.call_later(LOOK_SECONDS, self._end_late) if self._waiting else None


class Body:
    """The body of one request. It takes its room until it is closed."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._file: IO[bytes] | None = None
        self._room: Room | None = None
        self._more = True
        self.size = 0

    async def receive(self, most: int, room: Room) -> IO[bytes]:
        """Receive all of it, and return it as a file, on disk where it is large.

        It has ten seconds, and one more for each 64 KiB that came. (A limit between two pieces
        would let a client go on for ever by a byte every few seconds.)

        Raises:
            BodyRefused, ClientLeft.
        """
        self._room = room
        began = asyncio.get_running_loop().time()
        piece, more = await self._next(most, began)
        if not more:  # nearly always
            return io.BytesIO(piece)
        self._file = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115
        self._file.write(piece)
        while more:
            piece, more = await self._next(most, began)
            self._file.write(piece)
        self._file.seek(0)
        return self._file

    async def _next(self, most: int, began: float) -> tuple[bytes, bool]:
        """Return the next piece, for which there is room, and whether there are more."""
        assert self._room is not None
        limit = began + WAIT_SECONDS + self.size / BYTES_PER_SECOND_LEAST
        try:
            message = await self._room.wait(self._receive, limit)
        except TimeoutError:
            detail = "The body took too long. Send it again."
            raise BodyRefused(408, code="body_too_slow", detail=detail) from None
        self._more = message.get("more_body", False)
        if message["type"] == "http.disconnect":
            raise ClientLeft
        piece = message.get("body", b"")
        if self.size + len(piece) > most:
            raise too_large()
        if len(piece) > self._room.free:
            detail = "Too many bodies are being sent. Try again."
            raise BodyRefused(503, code="busy", detail=detail)
        self._room.free -= len(piece)
        self.size += len(piece)
        return piece, self._more

    async def discard(self) -> None:
        """Receive the rest of a body that was refused, and drop it, for two seconds at most.

        The answer has been sent. A proxy that is still sending the body would take a connection
        that is closed for a failure, and answer 502 instead.
        """
        if not self._more:  # nearly always; a time limit that limits nothing takes some 4 us
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_SECONDS):
                while self._more:
                    self._more = (await self._receive()).get("more_body", False)

    def close(self) -> None:
        """Drop the body, and give its room back."""
        if self._file is not None:
            self._file.close()
        if self._room is not None:
            self._room.free += self.size
            self._room = None
