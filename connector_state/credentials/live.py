"""The live credential of a request."""

import os

from connector_state.credentials import database
from connector_state.credentials.cache import Cache
from connector_state.credentials.entries import Entries, LiveCredential

__all__ = ["LiveCredential", "are_known_ones_served", "clear_cache", "find_live", "find_live_async"]

_cache = Cache(database)
os.register_at_fork(after_in_child=_cache.reset)


def find_live(key_id: str) -> LiveCredential | None:
    """Return the live credential with this key id, as it was at most two seconds ago.

    While the database is down, as it was before that, for CREDENTIAL_OUTAGE_SECONDS. None when it
    is unknown, revoked or expired, or its connector is disabled. For threads; an event loop awaits
    find_live_async.

    Raises:
        Unavailable: its secret can't be decrypted.
        django.db.OperationalError: the database did not answer.
    """
    return _cache.find(key_id)


async def find_live_async(key_id: str) -> LiveCredential | None:
    """Return the same as find_live. A credential that is known costs no await and no thread.

    Raises:
        As in find_live.
    """
    return await _cache.find_async(key_id)


def are_known_ones_served() -> bool:
    """Return whether this process knows credentials, and serves them now, with the database or not.

    Takes up to two seconds when the database begins to be silent.
    """
    return _cache.serves_known()


def clear_cache() -> None:
    """Forget all credentials that this process knows."""
    _cache.entries = Entries()
