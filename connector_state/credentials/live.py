"""The live credential of a request: issued here, or of the dsx-connect beside this service."""

import os

from django.conf import settings
from django.db import OperationalError

from connector_state.credentials import database, foreign
from connector_state.credentials.cache import Cache
from connector_state.credentials.entries import UNSURE, Entries, LiveCredential, Unsure

__all__ = ["LiveCredential", "are_known_ones_served", "clear_cache", "find_live", "find_live_async"]


def foreign_cache(kind: type[Cache] = Cache) -> Cache:
    """Return a cache of the dsx-connect's credentials, with a thread of its own.

    So nobody who waits for our credentials waits for its Redis.
    """
    source = foreign.ForeignSource()
    return kind(source, foreign.NAME, foreign.REREAD_SECONDS, source.rate.check)


_cache = Cache(database)
_foreign = foreign_cache()


def _reset() -> None:
    _cache.reset()
    _foreign.reset()


os.register_at_fork(after_in_child=_reset)


def find_live(key_id: str, address: str = "") -> LiveCredential | None:
    """Return the live credential with this key id, as it was at most two seconds ago.

    While the database is down, as it was before that, for CREDENTIAL_OUTAGE_SECONDS. None when it
    is unknown, revoked or expired, or its connector is disabled. One of the dsx-connect is as it
    was there at most ten seconds ago, and may have a `refusal`. For threads; an event loop awaits
    find_live_async.

    Args:
        key_id: which.
        address: the client's; it has a share of the look-ups at the dsx-connect.

    Raises:
        Unavailable: its secret can't be decrypted; or the dsx-connect's Redis did not answer.
        django.db.OperationalError: the database did not answer.
    """
    found = _find_known(key_id)
    if found is UNSURE:
        found = _cache.find(key_id)
    if found is not None or not _may_be_foreign(key_id):
        return found
    try:
        return _note_foreign(key_id, _foreign.find(key_id, address))
    except OperationalError as error:
        raise foreign.unavailable() from error


async def find_live_async(key_id: str, address: str = "") -> LiveCredential | None:
    """Return the same as find_live. A credential that is known costs no await and no thread.

    Raises:
        As in find_live.
    """
    found = _find_known(key_id)
    if found is UNSURE:
        found = await _cache.find_async(key_id)
    if found is not None or not _may_be_foreign(key_id):
        return found
    try:
        return _note_foreign(key_id, await _foreign.find_async(key_id, address))
    except OperationalError as error:
        raise foreign.unavailable() from error


def _find_known(key_id: str) -> LiveCredential | Unsure | None:
    """Return what is in memory. Our database need not answer for what the dsx-connect said."""
    found = _cache.entries.find(key_id)
    if isinstance(found, LiveCredential) or not settings.DSX_CONNECT_REDIS_URL:
        return found
    known = _foreign.entries.find(key_id)
    return known if isinstance(known, LiveCredential) else found


def _may_be_foreign(key_id: str) -> bool:
    return bool(settings.DSX_CONNECT_REDIS_URL) and not _cache.entries.is_of_source(key_id)


def _note_foreign(key_id: str, found: LiveCredential | None) -> LiveCredential | None:
    """Let our own cache ask again once the dsx-connect no longer has it: it may be imported."""
    if found is not None:
        _cache.entries.forget(key_id)
    return found


def are_known_ones_served() -> bool:
    """Return whether this process knows credentials, and serves them now, with the database or not.

    Takes up to two seconds when the database begins to be silent.
    """
    return _cache.serves_known() or _foreign.serves_known()


def clear_cache() -> None:
    """Forget all credentials that this process knows."""
    _cache.entries, _foreign.entries = Entries(), Entries()
