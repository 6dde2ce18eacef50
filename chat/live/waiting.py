"""Waiting for what a model sends, no longer than until the user stops the turn."""

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

from chat.deadline import Deadline
from chat.errors import ModelTimeout
from chat.live.words import Stopped, Words

T = TypeVar("T")

_END = StopIteration()


def until_stopped(
    make: Callable[[], Generator[T, None, None]], words: Words, deadline: Deadline
) -> Iterator[T]:
    """Yield what `make` yields, which runs in a thread of its own.

    Nothing interrupts a thread that reads from a socket. So it is left to itself, and ends by its
    own time limit; what it yields then is dropped.

    Raises:
        Stopped: by the user.
        ModelTimeout: nothing came before the deadline.
        Exception: what `make` raises.
    """
    items: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()
    left = threading.Event()
    words.on_stop(lambda: items.put(Stopped()))
    threading.Thread(target=_read, args=(make, items, left), name="model", daemon=True).start()
    try:
        while True:
            try:
                item = items.get(timeout=deadline.remaining_seconds)
            except queue.Empty:
                raise ModelTimeout() from None
            if item is _END:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        left.set()
        words.on_stop(lambda: None)


def _read(
    make: Callable[[], Generator[T, None, None]],
    items: "queue.SimpleQueue[T | BaseException]",
    left: threading.Event,
) -> None:
    """Put what `make` yields into the queue, and then its error, or _END; stop when all left."""
    made = make()
    try:
        for item in made:
            if left.is_set():
                return
            items.put(item)
        items.put(_END)
    except BaseException as error:  # whatever it is, it is the turn's
        items.put(error)
    finally:
        made.close()
