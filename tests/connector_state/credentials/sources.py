"""A source of credentials that the tests hold in their hands."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from connector_state.credentials.cache import Cache
from connector_state.credentials.entries import LiveCredential
from connector_state.store.calls import Limits
from connector_state.store.policy import Policy

POLICY = Policy(read_only=False, namespaces=(), limits=Limits())


class FakeSource:
    """Credentials by key id, each of the connector of the same name, and a log of changes."""

    def __init__(self, *key_ids: str) -> None:
        self.rows = {key_id: (key_id, b"secret") for key_id in key_ids}
        self.log: list[str] = []
        self.looks, self.made = 0, 0
        self.reads: list[list[str]] = []
        self.error: BaseException | None = None
        self.answers = threading.Event()  # unset: a read or look hangs
        self.answers.set()
        self.after_read: Callable[[], None] = lambda: None

    def change(self, key_id: str, *row: bytes) -> None:
        """Replace the row by another one, or by none, and log it."""
        self.change_by_hand(key_id, *row)
        self.log.append(key_id)

    def change_by_hand(self, key_id: str, *row: bytes) -> None:
        self.rows.pop(key_id, None)
        if row:
            self.rows[key_id] = (key_id, *row)

    def changes_since(self, position: int | None) -> tuple[int, set[str] | None]:
        self.looks += 1
        self._answer()
        number = len(self.log)
        return number, None if position is None else set(self.log[position:number])

    def read(self, key_ids: Sequence[str]) -> list[tuple]:
        self.reads.append(list(key_ids))
        rows = [self.rows[key_id] for key_id in key_ids if key_id in self.rows]
        self._answer()
        self.after_read()
        return rows

    def credential_of(self, row: tuple) -> LiveCredential:
        self.made += 1
        key_id, secret = row
        return LiveCredential(key_id, secret, key_id, None, POLICY)

    def _answer(self) -> None:
        self.answers.wait(30)
        if self.error is not None:
            raise self.error


class InlineCache(Cache):
    """Whoever waits for the thread does its work."""

    def _wake(self) -> None:
        self.work()


class End(BaseException):
    """Ends the thread of a ThreadedCache whose source raises it."""


class ThreadedCache(Cache):
    """A cache whose thread can be ended, which that of a process need not be."""

    def _run(self) -> None:
        with suppress(End):
            super()._run()
