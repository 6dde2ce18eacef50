"""Limit how many calls of the chat a process answers at a time, to keep threads for state calls.

A call holds a slot while it waits for the conversation store or a model, or reads a body.
"""

import threading
from collections.abc import Iterator
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

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a slot.

        Raises:
            Unavailable: none is free.
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
