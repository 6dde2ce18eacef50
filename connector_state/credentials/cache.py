"""Live credentials in memory, and the one thread that looks after them.

Requests never ask the database. A thread of each process asks once a second what changed, reads
the credentials that requests miss, all of a moment in one statement, and once a minute those that
are known again. Looks and reads are thus one after the other: nothing that was read before a look
comes in after it.
"""

import asyncio
import concurrent.futures
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from django.conf import settings
from django.db import OperationalError

from connector_state.credentials.entries import UNSURE, Entries, LiveCredential, Source
from connector_state.errors import Unavailable

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
REREAD_SECONDS = 60.0  # finds what changed without the log
REREAD_PAUSE_SECONDS = 0.05  # after each part of the known: requests need the processor too

# Waiting is counted in slices: a process that was frozen has used up one of them, however long it
# was, and can't take that for a database that does not answer.
SLICE_SECONDS = 0.1
SLICES = 20
SLICES_WHILE_IT_FAILS = 3

READ_AT_ONCE = 500  # key ids; SQLite takes 999 parameters
WAITING_MOST = 10_000  # key ids

Answer = LiveCredential | None | Exception


class Cache:
    """The credentials of one source, which `name` names in the log.

    All that are known are read again every `reread_seconds`. `check_rate` is called with each key
    id that has to be read, and the address of the client that asks for it; it may raise.
    """

    def __init__(
        self,
        source: Source,
        name: str = "the database",
        reread_seconds: float = REREAD_SECONDS,
        check_rate: Callable[[str, str], None] = lambda key_id, address: None,
    ) -> None:
        self._source, self._name = source, name
        self._reread_seconds, self._check_rate = reread_seconds, check_rate
        self.reset()

    def reset(self) -> None:
        """Forget everything: a forked process has no thread, and locks that nobody will release."""
        self.entries = Entries()
        self._lock = threading.Lock()
        self._waiting: dict[str, Future[Answer]] = {}
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None
        self._look_due = 0.0
        self._reread_due = time.monotonic() + self._reread_seconds
        self._to_reread: list[str] = []

    # --- For requests -----------------------------------------------------------------------------

    def find(self, key_id: str, address: str = "") -> LiveCredential | None:
        """Return the live credential, or None; wait for the thread where that isn't known.

        Raises:
            Unavailable: its secret can't be decrypted; what `check_rate` raises.
            django.db.OperationalError: the database did not answer.
        """
        found = self.entries.find(key_id)
        if found is not UNSURE:
            return found
        future = self._ask(key_id, address)
        for _ in range(self._slices):
            if concurrent.futures.wait([future], SLICE_SECONDS).done:
                return _given(future.result())
        return self._find_unanswered(key_id)

    async def find_async(self, key_id: str, address: str = "") -> LiveCredential | None:
        """Return the same on an event loop, without an await if it is known."""
        found = self.entries.find(key_id)
        if found is not UNSURE:
            return found
        future = asyncio.wrap_future(self._ask(key_id, address))
        for _ in range(self._slices):
            # Not wait_for: it would cancel the future, which others wait for as well.
            if (await asyncio.wait([future], timeout=SLICE_SECONDS))[0]:
                return _given(future.result())
        return self._find_unanswered(key_id)

    def serves_known(self) -> bool:
        """Return whether a credential that is known here would be served now."""
        key_ids = self.entries.known_key_ids()
        if key_ids:
            with suppress(OperationalError, Unavailable):
                self.find(key_ids[0])  # nobody else may have noticed yet that the database is down
        return bool(key_ids) and self.entries.are_good

    def _ask(self, key_id: str, address: str) -> "Future[Answer]":
        with self._lock:
            future = self._waiting.get(key_id)
            if future is None:
                self._check_rate(key_id, address)
                if len(self._waiting) >= WAITING_MOST:
                    raise OperationalError(f"too many credentials wait for {self._name}")
                future = self._waiting[key_id] = Future()
        self._wake()
        return future

    @property
    def _slices(self) -> int:
        return SLICES_WHILE_IT_FAILS if self.entries.fails else SLICES

    def _find_unanswered(self, key_id: str) -> LiveCredential | None:
        error = OperationalError(f"{self._name} takes too long to answer")
        if not self.entries.is_fresh:
            self._note_failure(error)
        found = self.entries.find(key_id)
        if found is UNSURE:
            raise error
        return found

    def _wake(self) -> None:
        self._woken.set()
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                # A daemon: a process that ends does not wait for a frozen database.
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()

    # --- The thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            pause = REREAD_PAUSE_SECONDS if self._to_reread else LOOK_SECONDS
            self._woken.wait(max(0.0, min(pause, self._look_due - time.monotonic())))
            self._woken.clear()
            self.work()

    def work(self) -> None:
        """Look if it is time, read some of the known again, and answer those who wait."""
        if time.monotonic() >= self._look_due:
            self._look()
        self._reread()  # first: after a process was frozen all that is known may be too old
        self._answer_waiting()

    def _look(self) -> Exception | None:
        """Ask what changed; return why that failed, if it did."""
        began = time.monotonic()
        self._look_due = began + LOOK_SECONDS
        try:
            position, changed = self._source.changes_since(self.entries.position)
        except Exception as error:  # whatever it is, the next look has to come
            self._note_failure(error)
            return error
        if self.entries.looked(began, position, changed):
            logger.warning("%s says again what changed", self._name)
        return None

    def _note_failure(self, error: Exception) -> None:
        if self.entries.failed():
            logger.error(
                "%s does not say what changed (%r); known credentials stay good for %d s",
                self._name,
                error,
                settings.CREDENTIAL_OUTAGE_SECONDS,
            )

    def _answer_waiting(self) -> None:
        with self._lock:
            key_ids = list(self._waiting)[:READ_AT_ONCE]
            asked = {key_id: self._waiting.pop(key_id) for key_id in key_ids}
            if self._waiting:
                self._woken.set()
        if not asked:
            return
        failures = self._read_missing(key_ids)
        for key_id, future in asked.items():
            found = self.entries.find(key_id)
            future.set_result(failures[key_id] if found is UNSURE else found)

    def _read_missing(self, key_ids: list[str]) -> dict[str, Exception]:
        """Read those that aren't known; return why, of those that can't be told afterwards."""
        error: Exception = OperationalError("what was read is out of date already")
        unreadable: dict[str, Exception] = {}
        try:
            self._look_unless_fresh()
            missing = [key_id for key_id in key_ids if self.entries.find(key_id) is UNSURE]
            unreadable = self._read(missing)
            self._look_unless_fresh()  # this process may have been frozen meanwhile
        except Exception as failure:  # whatever it is, those who wait have to hear of it
            error = OperationalError(f"{self._name} failed: {failure!r}")
        return dict.fromkeys(key_ids, error) | unreadable

    def _look_unless_fresh(self) -> None:
        if not self.entries.is_fresh and (error := self._look()):
            raise error

    def _read(self, key_ids: list[str]) -> dict[str, Exception]:
        """Read these in one statement; return the errors of those that can't be decrypted."""
        unreadable: dict[str, Exception] = {}
        if not key_ids:
            return unreadable
        rows = {row[0]: row for row in self._source.read(key_ids)}
        self.entries.drop(key_id for key_id in key_ids if key_id not in rows)
        for key_id, row in rows.items():
            fingerprint = hash(row)
            if self.entries.has(key_id, fingerprint):
                continue  # decrypting costs more than all the rest
            self.entries.forget(key_id)
            try:
                credential = self._source.credential_of(row)
            except Unavailable as error:
                unreadable[key_id] = error
                continue
            if credential is None:
                self.entries.drop([key_id], is_closed=True)
            else:
                self.entries.put(credential, fingerprint)
        return unreadable

    def _reread(self) -> None:
        """Read some of the known again: once a minute all of them."""
        now = time.monotonic()
        if now >= self._reread_due:
            self._reread_due = now + self._reread_seconds
            self._to_reread = self.entries.known_key_ids()
            self.entries.forget_unknown()
        key_ids, self._to_reread = self._to_reread[:READ_AT_ONCE], self._to_reread[READ_AT_ONCE:]
        try:
            self._read(key_ids)
        except Exception as error:  # whatever it is, the looks have to go on
            self._to_reread = []
            logger.error("%s: known credentials can't be read again: %r", self._name, error)


def _given(answer: Answer) -> LiveCredential | None:
    if isinstance(answer, Exception):
        raise answer
    return answer
