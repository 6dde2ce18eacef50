"""The live credential of a request, cached in each process for a second or two."""

import asyncio
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from django.conf import settings

from connector_state.credentials import encryption
from connector_state.models import Credential
from connector_state.store.policy import Policy

UNKNOWN_KEY_IDS_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class LiveCredential:
    """What a request is checked against."""

    key_id: str
    secret: bytes = field(repr=False)
    connector_uuid: str
    expires_at: float | None
    policy: Policy


class _Cache:
    """Live credentials by key id, for CREDENTIAL_CACHE_SECONDS.

    Key ids that are unknown stand in a cache of their own, bounded, so that inventing them neither
    fills the memory nor drives the known ones out.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, LiveCredential]] = {}
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key_id: str) -> LiveCredential | None:
        now = time.monotonic()
        known = self._known.get(key_id)
        if known is not None and now < known[0]:
            return known[1]
        if now < self._unknown.get(key_id, 0):
            return None
        credential = _read(key_id)
        until = now + settings.CREDENTIAL_CACHE_SECONDS
        with self._lock:
            if credential is not None:
                self._known[key_id] = (until, credential)
            else:
                self._known.pop(key_id, None)
                self._unknown[key_id] = until
                while len(self._unknown) > UNKNOWN_KEY_IDS_REMEMBERED:
                    self._unknown.popitem(last=False)
        return credential

    def clear(self) -> None:
        with self._lock:
            self._known.clear()
            self._unknown.clear()


_cache = _Cache()
clear_cache = _cache.clear


def find_live(key_id: str) -> LiveCredential | None:
    """Return the live credential with this key id, as it was at most CREDENTIAL_CACHE_SECONDS ago.

    None when it is unknown, revoked or expired, or its connector is disabled.

    Raises:
        Unavailable: its secret can't be decrypted.
        django.db.DatabaseError: the database did not answer.
    """
    credential = _cache.find(key_id)
    if credential is None:
        return None
    if credential.expires_at is not None and credential.expires_at <= time.time():
        return None
    return credential


async def find_live_async(key_id: str) -> LiveCredential | None:
    """As find_live, for an event loop."""
    return await asyncio.to_thread(find_live, key_id)


def _read(key_id: str) -> LiveCredential | None:
    credential = (
        Credential.objects.live()
        .select_related("connector")
        .filter(key_id=key_id, connector__enabled=True)
        .first()
    )
    if credential is None:
        return None
    return LiveCredential(
        key_id=key_id,
        secret=encryption.decrypt(credential.encrypted_secret).encode(),
        connector_uuid=str(credential.connector.uuid),
        expires_at=credential.expires_at.timestamp() if credential.expires_at else None,
        policy=Policy.of(credential.connector),
    )
