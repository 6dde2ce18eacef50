"""Questions to stores that may never answer, asked without waiting for ever.

Each is asked in a thread of its own. Whoever asks while the last one still waits for its answer
waits for the same, unless that is old: its connection may be dead where a new one is not. However
many ask, a frozen store holds a few threads.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import connections

T = TypeVar("T")

OLD_SECONDS = 5.0
ASKING_MAX = 3


class NoAnswer(Exception):
    """Time was up."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What came of a question: a value or an error, and after how many milliseconds."""

    value: T | None
    error: Exception | None
    milliseconds: float


class Question(Generic[T]):
    """A function that asks a store."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._waiting: list[_Asked[T]] = []

    def begin(self) -> "Callable[[float], Outcome[T]]":
        """Ask now; return what waits for the outcome until a time on time.monotonic()."""
        with self._lock:
            self._waiting = [asked for asked in self._waiting if not asked.is_over]
            if not self._waiting or (self._waiting[-1].is_old and len(self._waiting) < ASKING_MAX):
                self._waiting.append(_Asked(self._ask))
            return self._waiting[-1].wait


class _Asked(Generic[T]):
    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._began = time.monotonic()
        self._over = threading.Event()
        self._outcome: Outcome[T] | None = None
        # A daemon: a process that ends does not wait for a frozen store either.
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    @property
    def is_old(self) -> bool:
        return time.monotonic() - self._began > OLD_SECONDS

    def wait(self, until: float) -> Outcome[T]:
        self._over.wait(max(0.0, until - time.monotonic()))
        if self._outcome is None:
            return Outcome(None, NoAnswer("It did not answer in time."), self._milliseconds())
        return self._outcome

    def _run(self) -> None:
        try:
            self._outcome = Outcome(self._ask(), None, self._milliseconds())
        except Exception as error:  # whatever it is, who asked has to say it
            self._outcome = Outcome(None, error, self._milliseconds())
        finally:
            # Set first: closing a connection to a frozen database may take long.
            self._over.set()
            connections.close_all()

    def _milliseconds(self) -> float:
        return (time.monotonic() - self._began) * 1000
