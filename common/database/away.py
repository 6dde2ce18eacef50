"""A database that is away: its connection broke, or there is none to be had right now."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg
from django.db import Error, connection

T = TypeVar("T")

PAUSE_SECONDS = 0.2

# Connections that broke or were refused; a server that stops, has crashed, or starts.
_SQLSTATES = ("08", "57P")

logger = logging.getLogger(__name__)


def is_away(error: BaseException) -> bool:
    """Whether PostgreSQL did not answer. Of a write, nobody knows then whether it was applied."""
    cause = error.__cause__
    if not isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return cause.sqlstate is None or cause.sqlstate.startswith(_SQLSTATES)


def until_back(call: Callable[[bool], T], until: float) -> T:
    """Return what `call` returns, calling it again while the database is away.

    Args:
        call: takes whether it may have been carried out before.
        until: a reading of time.monotonic(), after which it is not called again.

    Raises:
        Exception: what `call` raises.
    """
    is_repeated = False
    while True:
        try:
            return call(is_repeated)
        except Error as error:
            is_late = time.monotonic() + PAUSE_SECONDS > until
            if is_late or connection.in_atomic_block or not is_away(error):
                raise
            if not is_repeated:
                logger.warning("the database is away, and is waited for: %r", error)
        connection.close()  # it is broken; the next call makes another one
        is_repeated = True
        time.sleep(PAUSE_SECONDS)
