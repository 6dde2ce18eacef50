"""The turns that this process answers: other processes stop them, and hear their words.

One thread looks after all of them, four times a second while there are any. It asks the database
which ones are to stop, and tells Redis what was said. So the turns themselves wait for neither.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import Error, connections

from chat.live import published
from chat.live.words import Words
from chat.models import Turn
from common.database.statements import Select

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.25
WITHOUT_DATABASE_SECONDS = 1.0

# Those of all processes: there are few, and so the statement is always the same.
_TO_STOP = Select(lambda: Turn.objects.filter(state=Turn.State.ACCEPTED, stopped=True).only("id"))

_words: dict[str, Words] = {}
_changed = threading.Condition()
_thread: threading.Thread | None = None


@contextmanager
def under_way(words: Words) -> Iterator[None]:
    """Let the turn be followed and stopped meanwhile."""
    global _thread
    with _changed:
        _words[words.turn.id] = words
        if _thread is None or not _thread.is_alive():  # a fork has none
            _thread = threading.Thread(target=_work, name="turns", daemon=True)
            _thread.start()
        _changed.notify()
    try:
        yield
    finally:
        with _changed:
            if _words.get(words.turn.id) is words:  # else the turn was taken up again meanwhile
                del _words[words.turn.id]


def words_of(turn_id: str) -> Words | None:
    """Return the words of a turn that this process answers."""
    return _words.get(turn_id)


def _work() -> None:
    versions: dict[str, int] = {}
    while True:
        with _changed:
            if not _words:
                connections.close_all()
            _changed.wait_for(lambda: _words)
        # First, so that a short turn costs nothing here.
        time.sleep(TICK_SECONDS)
        running = dict(_words)
        _stop(running)
        fresh = {
            words.turn.lease_token: words.said
            for turn_id, words in running.items()
            if words.is_followed and versions.get(turn_id) != words.version
        }
        versions = {turn_id: words.version for turn_id, words in running.items()}
        published.publish(fresh)


def _stop(running: dict[str, Words]) -> None:
    try:
        for turn in _TO_STOP.rows():
            if words := running.get(turn.id):
                words.stop()
    except Error as error:
        logger.warning("no turn can be stopped: the database does not answer (%r)", error)
        connections.close_all()
        time.sleep(WITHOUT_DATABASE_SECONDS)
