"""Count the answers `busy`, and log their number now and then.

Django would log each of them as an error: thousands of lines a minute, and just when there is the
least time for them.
"""

import logging
import threading

logger = logging.getLogger(__name__)

LOG_SECONDS = 10.0

_lock = threading.Lock()
_count = 0


def count() -> None:
    """Count an answer. The first one starts the time until their number is logged."""
    global _count
    with _lock:
        _count += 1
        if _count > 1:
            return
    timer = threading.Timer(LOG_SECONDS, _log)
    timer.daemon = True
    timer.start()


def _log() -> None:
    global _count
    with _lock:
        number, _count = _count, 0
    logger.warning("%d requests were answered 503 busy within %g s", number, LOG_SECONDS)
