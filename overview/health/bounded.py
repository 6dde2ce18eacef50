"""Ask stores that may never answer, without waiting for ever.

A thread asks. Callers that come meanwhile wait for the same answer, unless the question is old: its
connection may be dead where a new one would not be. So a frozen store holds a few threads at most.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import connections

T = TypeVar("T")

OLD_SECONDS = 5.0
ASKING_MAX = 3


class NoAnswer(Exception):
    """The store did not answer before the caller's time was up."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """The answer to a question: a value or an error, and how long it took."""

    value: T | None
    error: Exception | None
    milliseconds: float


class Question(Generic[T]):
    """A function that asks a store, called in a thread and by one caller at a time."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._waiting: list[_Asked[T]] = []

    def begin(self) -> "Callable[[float], Outcome[T]]":
        """Ask, and return a function that waits for the outcome until a time.monotonic()."""
        with self._lock:
            self._waiting = [asked for asked in self._waiting if not asked.outcome.done()]
            if not self._waiting or (self._waiting[-1].is_old and len(self._waiting) < ASKING_MAX):
                self._waiting.append(_Asked(self._ask))
            return self._waiting[-1].wait


class _Asked(Generic[T]):
    def __init__(self, ask: Callable[[], T]) -> None:
        self.outcome: Future[Outcome[T]] = Future()
        self._ask = ask
        self._began = time.monotonic()
        # A daemon, so that a process does not wait for a frozen store when it ends.
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def is_old(self) -> bool:
        return time.monotonic() - self._began > OLD_SECONDS

    def wait(self, until: float) -> Outcome[T]:
        try:
            return self.outcome.result(max(0.0, until - time.monotonic()))
        except TimeoutError:
            return self._ended(error=NoAnswer("It did not answer in time."))

    def _run(self) -> None:
        try:
            outcome = self._ended(self._ask())
        except Exception as error:  # the caller reports it
            outcome = self._ended(error=error)
        self.outcome.set_result(outcome)
        connections.close_all()  # afterwards: with a frozen database this may take long

    def _ended(self, value: T | None = None, error: Exception | None = None) -> Outcome[T]:
        return Outcome(value, error, (time.monotonic() - self._began) * 1000)
