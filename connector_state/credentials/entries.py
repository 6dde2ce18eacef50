"""What a process knows of credentials, and whether it may still go by it.

No I/O: the cache looks and reads, and puts here what it found.
"""

import heapq
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from django.conf import settings

from connector_state.store.policy import Policy

KNOWN_MOST = 100_000
UNKNOWN_MOST = 1024
FRESH_SECONDS = 2.0

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class LiveCredential:
    """What a request is checked against."""

    key_id: str
    secret: bytes = field(repr=False)
    connector_uuid: str
    expires_at: float | None
    policy: Policy
    has_connector: bool = True  # False: one of a dsx-connect, which has never called here
    refusal: str = ""  # why a request is refused even if this has signed it


class Source(Protocol):
    """Where credentials come from; credentials.database is one."""

    def changes_since(self, position: int | None) -> tuple[int, set[str] | None]:
        """Return where its log stands, and whose credentials changed since `position`."""

    def read(self, key_ids: Sequence[str]) -> list[Row]:
        """Return a row for each of these that there is, which begins with the key id."""

    def credential_of(self, row: Row) -> LiveCredential | None:
        """Return the credential in such a row, or None if it opens nothing."""


class Unsure(Enum):
    """The answer for a key id that has to be looked up."""

    UNSURE = "unsure"


UNSURE = Unsure.UNSURE


@dataclass(slots=True)
class _Entry:
    credential: LiveCredential
    fingerprint: int  # of the row that it was made of
    used_at: float


class Entries:
    """Live credentials by key id, good for as long as looks find no change of them.

    An entry is used only if a look that succeeded began at most FRESH_SECONDS ago, or, while looks
    fail, for CREDENTIAL_OUTAGE_SECONDS from the first that did. That is checked at each use: a
    process that was frozen may not go by what it knew.

    Key ids that open nothing have a separate, smaller cache, so that inventing them neither fills
    the memory nor drives the known ones out.

    One thread changes them; any thread, and an event loop, may find, and forget one.
    """

    def __init__(self, known_most: int = KNOWN_MOST) -> None:
        self._known_most = known_most
        self._known: dict[str, _Entry] = {}
        self._unknown: OrderedDict[str, bool] = OrderedDict()  # whether the source has it
        self._position: int | None = None
        self._looked_at = float("-inf")
        self._fails_since: float | None = None

    @property
    def position(self) -> int | None:
        """Where the source's log stood at the last look; None before the first one."""
        return self._position

    @property
    def fails(self) -> bool:
        """Tell whether the last look at the changes failed."""
        return self._fails_since is not None

    @property
    def is_fresh(self) -> bool:
        """Whether a look that succeeded began at most FRESH_SECONDS ago."""
        return time.monotonic() - self._looked_at <= FRESH_SECONDS

    @property
    def are_good(self) -> bool:
        """Whether known credentials may be used: they are fresh, or an outage is bridged."""
        if self.is_fresh:
            return True
        since, outage = self._fails_since, settings.CREDENTIAL_OUTAGE_SECONDS
        return since is not None and outage > 0 and time.monotonic() - since <= outage

    def find(self, key_id: str) -> LiveCredential | Unsure | None:
        """Return the credential, None for one that opens nothing, or UNSURE."""
        entry = self._known.get(key_id)
        if entry is None:
            return None if key_id in self._unknown and self.is_fresh else UNSURE
        if not self.are_good:
            return UNSURE
        now = entry.used_at = time.time()
        credential = entry.credential
        if credential.expires_at is not None and credential.expires_at <= now:
            return None
        return credential

    def looked(self, began: float, position: int, changed: set[str] | None) -> bool:
        """Take in a look that succeeded; return whether the one before it had failed.

        Args:
            began: when, on time.monotonic().
            position: where the log stood.
            changed: the UUIDs of the connectors that changed since the last one; None: any.
        """
        if changed is None:
            self._known.clear()
        elif changed:
            for key_id, entry in list(self._known.items()):
                if entry.credential.connector_uuid in changed:
                    del self._known[key_id]
        if position != self._position:
            self._unknown.clear()
        # Last: it lets the others use what is left.
        self._position, self._looked_at = position, began
        recovered, self._fails_since = self.fails, None
        return recovered

    def failed(self) -> bool:
        """Note that a look failed; return whether it is the first one to."""
        if self.fails:
            return False
        self._fails_since = time.monotonic()
        return True

    def put(self, credential: LiveCredential, fingerprint: int) -> None:
        """Keep a live credential; make room, if need be, by those used least recently."""
        self._known[credential.key_id] = _Entry(credential, fingerprint, time.time())
        self._unknown.pop(credential.key_id, None)
        if len(self._known) > self._known_most:
            used = {key_id: entry.used_at for key_id, entry in self._known.items()}
            # A hundredth more than is needed: finding the oldest takes a walk through all.
            count = len(used) - self._known_most + self._known_most // 100
            for key_id in heapq.nsmallest(count, used, key=used.__getitem__):
                del self._known[key_id]

    def drop(self, key_ids: Iterable[str], *, is_closed: bool = False) -> None:
        """Keep these as key ids that open nothing.

        Args:
            key_ids: which.
            is_closed: the source has them, such as one that was revoked.
        """
        for key_id in key_ids:
            self._known.pop(key_id, None)
            self._unknown[key_id] = is_closed
        while len(self._unknown) > UNKNOWN_MOST:
            self._unknown.popitem(last=False)

    def is_of_source(self, key_id: str) -> bool:
        """Return whether the source is known to have this key id, live or not."""
        return key_id in self._known or self._unknown.get(key_id, False)

    def forget(self, key_id: str) -> None:
        """Forget what is known of a key id. Any thread may."""
        self._known.pop(key_id, None)
        self._unknown.pop(key_id, None)

    def has(self, key_id: str, fingerprint: int) -> bool:
        """Whether what is known of the key id was made of a row with this fingerprint."""
        entry = self._known.get(key_id)
        return entry is not None and entry.fingerprint == fingerprint

    def known_key_ids(self) -> list[str]:
        """Return the key ids that are known."""
        return list(self._known)

    def forget_unknown(self) -> None:
        """Forget which key ids open nothing."""
        self._unknown.clear()
