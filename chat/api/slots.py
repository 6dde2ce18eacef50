"""Limit how many calls of the chat a process answers at a time, to keep threads for state calls.

A call holds a slot while it waits for the conversation store or a model, or reads a body. Where the
server can wait without a thread, messages wait for a slot in the order of their coming.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from django.conf import settings

from chat.errors import RateLimited, Unavailable
from common.deferred import Waker

READS_WAIT_SECONDS = 0.25  # reads take milliseconds, and pages send several at once


class _Slots:
    """A semaphore whose size is a setting, and that is waited for only so long."""

    def __init__(self, setting: str, wait_seconds: float) -> None:
        self._setting = setting
        self._wait_seconds = wait_seconds
        self._taken = 0
        self._changed = threading.Condition()

    def take(self) -> Callable[[], None]:
        """Take a slot; return what gives it back, to be called once.

        Raises:
            Unavailable: none is free.
        """
        with self._changed:
            if not self._changed.wait_for(self._is_free, self._wait_seconds):
                raise _busy()
            self._taken += 1
        return self._give_back

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a slot; see take."""
        give_back = self.take()
        try:
            yield
        finally:
            give_back()

    def _give_back(self) -> None:
        with self._changed:
            self._taken -= 1
            self._changed.notify()

    def _is_free(self) -> bool:
        return self._taken < int(getattr(settings, self._setting))


class _Turns(_Slots):
    """The slots of messages, and the messages that wait for one without a thread."""

    def __init__(self) -> None:
        super().__init__("CHAT_MAX_TURNS_PER_PROCESS", 0)
        self._waiting: deque[tuple[str, Waker]] = deque()

    def take_if_free(self) -> Callable[[], None] | None:
        """Take a slot, unless none is free; return what gives it back."""
        with self._changed:
            if not self._is_free():
                return None
            self._taken += 1
        return self._give_back

    async def take_in_order(self, user_id: str) -> Callable[[], None]:
        """Take a slot after all who wait for one already; return what gives it back.

        As many messages may wait as may be answered, each for CHAT_QUEUE_SECONDS.

        Raises:
            Unavailable: no slot became free, or too many messages wait.
            RateLimited: CHAT_MAX_TURNS_PER_USER messages of this user wait.
        """
        with self._changed:
            if slot := self.take_if_free():  # by now
                return slot
            self._check_queue(user_id)
            place = user_id, Waker()
            self._waiting.append(place)
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.CHAT_QUEUE_SECONDS):
                await place[1].woken.wait()
        with self._changed:
            if place in self._waiting:  # so nobody has left it a slot
                self._waiting.remove(place)
                raise _busy()
        return self._give_back

    def _check_queue(self, user_id: str) -> None:
        most: int = settings.CHAT_MAX_TURNS_PER_USER
        if sum(user == user_id for user, _ in self._waiting) >= most:
            detail = f"At most {most} messages are answered at a time."
            raise RateLimited(detail, code="too_many_turns")
        if len(self._waiting) >= settings.CHAT_MAX_TURNS_PER_PROCESS:
            raise _busy()

    def _give_back(self) -> None:
        with self._changed:
            if self._waiting:  # the first of them has the slot from now on
                _, waker = self._waiting.popleft()
                waker.wake()
                return
        super()._give_back()


def _busy() -> Unavailable:
    return Unavailable("Too much is being answered right now. Try again.", code="busy")


turns = _Turns()
read_slot = _Slots("CHAT_MAX_READS_PER_PROCESS", READS_WAIT_SECONDS).one
