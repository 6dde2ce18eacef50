"""How many calls of the chat this process answers at a time: the other threads are for state calls.

Whatever waits for the conversation store or for a model, or reads a body, holds a slot meanwhile.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from chat.errors import Unavailable

READS_WAIT_SECONDS = 0.25  # they take milliseconds, and pages send several at once


class _Slots:
    """As many slots as the setting says; who finds none waits for so long."""

    def __init__(self, setting: str, wait_seconds: float) -> None:
        self._setting = setting
        self._wait_seconds = wait_seconds
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Take a slot.

        Raises:
            Unavailable: all are taken.
        """
        with self._changed:
            if not self._changed.wait_for(self._is_free, self._wait_seconds):
                raise Unavailable("Too much is being answered right now. Try again.", code="busy")
            self._taken += 1
        try:
            yield
        finally:
            with self._changed:
                self._taken -= 1
                self._changed.notify()

    def _is_free(self) -> bool:
        return self._taken < int(getattr(settings, self._setting))


turn_slot = _Slots("CHAT_MAX_TURNS_PER_PROCESS", 0).one
read_slot = _Slots("CHAT_MAX_READS_PER_PROCESS", READS_WAIT_SECONDS).one
