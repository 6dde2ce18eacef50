"""Let all workers of a server count together, by prometheus-client's files in memory.

Writing to one takes some microseconds, which a value call would feel. So counts are added up in the
process, and written once a second; a worker that is killed loses those of its last second.
"""

import atexit
import logging
import os
import threading
from pathlib import Path
from typing import Any

from prometheus_client import values

from config.metrics.slots import Slot

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0

folder: Path | None = None  # None: this process counts by itself


def begin(where: Path) -> None:
    """Count in files from now on: before the first metric is made, and the process forks."""
    global folder, _slot
    try:
        _slot = Slot(where)
    except OSError as error:
        logger.error("metrics of this worker are not counted: %s", error)
        return
    folder = where
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(where)  # prometheus-client reads it there
    of_slot = values.MultiProcessValue(lambda: _slot.number)  # type: ignore[no-untyped-call]
    values.ValueClass = _buffered(of_slot)
    os.register_at_fork(after_in_child=_begin_again)
    atexit.register(flush)


def flush() -> None:
    """Write what was counted since the last time."""
    global _pending, _has_timer
    with _lock:
        due, _pending, _has_timer = _pending, {}, False
    for value, amount in due.items():
        value.inc(amount)


_slot: Slot
_lock = threading.Lock()
_pending: dict[Any, float] = {}
_has_timer = False


def _set_timer() -> None:
    global _has_timer
    timer = threading.Timer(FLUSH_SECONDS, flush)
    timer.daemon = True
    try:
        timer.start()
        _has_timer = True
    except RuntimeError:  # no thread can be started: the next count tries again
        pass


def _begin_again() -> None:
    """Take another number after a fork; the parent writes what it has counted."""
    global _slot, _lock, _pending, _has_timer
    _lock, _pending, _has_timer = threading.Lock(), {}, False
    _slot.leave()
    assert folder is not None
    _slot = Slot(folder)


def _buffered(shared: Any) -> type:
    class BufferedValue:
        """prometheus-client's interface of a value."""

        _multiprocess = True

        def __init__(self, *args: Any, **options: Any) -> None:
            self._shared = shared(*args, **options)

        def inc(self, amount: float) -> None:
            value = self._shared
            with _lock:
                _pending[value] = _pending.get(value, 0.0) + amount
                if not _has_timer:
                    _set_timer()

        def set(self, value: float, timestamp: float | None = None) -> None:
            self._shared.set(value, timestamp)

        def get(self) -> float:
            flush()
            return float(self._shared.get())

        def set_exemplar(self, exemplar: Any) -> None:
            """Exemplars are not kept over several processes."""

        def get_exemplar(self) -> None:
            return None

    return BufferedValue
