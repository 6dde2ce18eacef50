"""Limit how many calls of the chat a process answers at a time, to keep threads for state calls.

A call holds a slot while it waits for the conversation store or a model, or reads a body.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings

from chat.errors import Unavailable

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
                raise Unavailable("Too much is being answered right now. Try again.", code="busy")
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


_turns = _Slots("CHAT_MAX_TURNS_PER_PROCESS", 0)
turn_slot, take_turn_slot = _turns.one, _turns.take
read_slot = _Slots("CHAT_MAX_READS_PER_PROCESS", READS_WAIT_SECONDS).one
