"""What the assistant says in a turn, as it says it."""

import asyncio
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from chat.conversations.json_values import clean_text
from chat.models import Turn
from common.deferred import Run, Waker

REPLY_MAX_CHARACTERS = 20_000

_WORD = re.compile(r"\s*\S+\s*")


class Stopped(Exception):
    """The user has stopped the turn: what was said so far is its reply."""


@dataclass(frozen=True, slots=True)
class Said:
    """What was said after so many tool calls. What comes before a call is no part of the reply."""

    calls: int
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Words:
    """The words of one turn: one thread adds to them, any number follow.

    Attributes:
        turn: as the thread that answers it has it.
        is_followed: the request asked for events, so the model is to be streamed.
        said: grows; another one takes its place after tool calls.
        version: another number after each change.
        is_over: nothing changes any more.
        failure: why there is no reply, when it is over.
    """

    def __init__(self, turn: Turn, *, is_followed: bool = False) -> None:
        self.turn = turn
        self.is_followed = is_followed
        self.said = Said(len(turn.tool_calls))
        self.version = 0
        self.is_over = False
        self.failure: BaseException | None = None
        self._length = 0
        self._stopped = threading.Event()
        self._on_stop: Callable[[], None] = lambda: None
        self._changed = threading.Condition()
        self._wakers: set[Waker] = set()

    def begin(self) -> None:
        """Begin to say something: what was said before the last tool calls is dropped.

        Raises:
            Stopped.
        """
        self.check()
        self.said, self._length = Said(len(self.turn.tool_calls)), 0
        self.note_change()

    def add(self, *pieces: str) -> None:
        """Say some more; what is over REPLY_MAX_CHARACTERS is dropped.

        Raises:
            Stopped.
        """
        self.check()
        before = self._length
        for given in pieces:
            piece = clean_text(given)[: REPLY_MAX_CHARACTERS - self._length]
            piece = piece if self._length else piece.lstrip()
            if piece:
                self._length += len(piece)
                self.said.pieces.append(piece)
        if self._length > before:
            self.note_change()

    def say(self, reply: str) -> None:
        """Say a whole reply word by word, unless the assistant has told its words itself."""
        if not self.reply:
            self.said = Said(len(self.turn.tool_calls), _WORD.findall(reply))
            self.note_change()

    @property
    def reply(self) -> str:
        """What is a reply of what was said so far; nothing if tools were called since."""
        return self.said.text.rstrip() if self.said.calls == len(self.turn.tool_calls) else ""

    def note_change(self) -> None:
        with self._changed:
            self.version += 1
            self._changed.notify_all()
            for waker in self._wakers:
                waker.wake()

    def end(self, failure: BaseException | None = None) -> None:
        """Note that the turn is over: its row says all, or the failure does."""
        self.failure, self.is_over = failure, True
        self.note_change()

    def wait(self, version: int, seconds: float) -> None:
        """Wait until there is a newer version, or the time is up."""
        with self._changed:
            self._changed.wait_for(lambda: self.version != version, seconds)

    async def wait_on_loop(self, version: int, seconds: float, run: Run) -> None:
        """Wait as `wait` does, without a thread."""
        waker = Waker()
        with self._changed:
            if self.version != version:
                return
            self._wakers.add(waker)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await waker.woken.wait()
        finally:
            with self._changed:
                self._wakers.discard(waker)

    # --- The user's stop --------------------------------------------------------------------------

    def stop(self) -> None:
        """Let the next word be the first that is not said. Any thread may call it."""
        with self._changed:
            self._stopped.set()
            self._on_stop()

    def check(self) -> None:
        """Raise Stopped if the user has stopped the turn."""
        if self._stopped.is_set():
            raise Stopped

    def on_stop(self, call: Callable[[], None]) -> None:
        """Have `call` called at a stop, at once if that has come, in place of the one before."""
        with self._changed:
            self._on_stop = call
            if self._stopped.is_set():
                call()
