"""Questions to stores that may never answer, asked without waiting for ever.

Each is asked in a thread of its own. Whoever asks while the last one still waits for its answer
waits for the same: however many ask, a frozen store holds one thread.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import connections

T = TypeVar("T")


class NoAnswer(Exception):
    """Time was up."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What came of a question: a value or an error, and after how many milliseconds."""

    value: T | None
    error: Exception | None
    milliseconds: float


class Question(Generic[T]):
    """A function that asks a store; it runs once at a time."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._waiting: _Asked[T] | None = None

    def begin(self) -> "Callable[[float], Outcome[T]]":
        """Ask now; return what waits for the outcome until a time on time.monotonic()."""
        with self._lock:
            if self._waiting is None or self._waiting.is_over:
                self._waiting = _Asked(self._ask)
            return self._waiting.wait


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
