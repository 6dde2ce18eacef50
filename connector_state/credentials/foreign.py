"""Credentials of a dsx-connect, as a second source of live ones, and what they open here.

Whoever holds one of its enrolment tokens can get any connector's credential there. So what is ours
wins: a key id that was issued here is never looked up, policy and disabling are ours by UUID, and
where a connector was here first its credential there opens nothing until an operator accepts it.
"""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from common.client_ip import network_of
from connector_state.changes import ChangeCounter
from connector_state.credentials import database, dsx_connect
from connector_state.credentials.counters import failures
from connector_state.credentials.entries import LiveCredential
from connector_state.errors import Forbidden, SignatureRefused, Unavailable
from connector_state.models import Connector, Credential, DeletedConnector
from connector_state.store.policy import Policy

logger = logging.getLogger(__name__)

NAME = "the dsx-connect's Redis"  # for the log
REREAD_SECONDS = 10.0
NOT_ACCEPTED = "foreign_not_accepted"
FULL = "dsx_connect_full"
LIMITED = "look_ups_limited"
FOUND_MOST = 10_000
SHARES = 10

Row = tuple[Any, ...]


class Rate:
    """Limits the look-ups of key ids that were never found, per process and client.

    Key ids cost nothing to invent, and each asks the database and the dsx-connect's Redis. A client
    who invents them uses up its own share, DSX_CONNECT_LOOKUPS_PER_SECOND. All clients have SHARES
    of them together.
    """

    def __init__(self) -> None:
        self._found: set[str] = set()
        self._second = float("-inf")
        self._used: Counter[str] = Counter()  # in that second, by the client's network

    def note_found(self, key_id: str) -> None:
        """Never limit this key id again."""
        if len(self._found) >= FOUND_MOST:
            self._found.clear()
        self._found.add(key_id)

    def check(self, key_id: str, address: str) -> None:
        """Count a look-up for the client at this address. The cache calls this under its lock.

        Raises:
            Unavailable: code `busy`. Not a 401: the key id may be good.
        """
        if key_id in self._found:
            return
        now = time.monotonic()
        if now - self._second >= 1:
            self._second = now
            self._used.clear()
        client, share = network_of(address), settings.DSX_CONNECT_LOOKUPS_PER_SECOND
        if self._used[client] >= share or self._used.total() >= SHARES * share:
            failures.count_unlogged(LIMITED)
            raise Unavailable("Too many unknown key ids are being looked up.", code="busy")
        self._used[client] += 1


class ForeignSource:
    """A source for credentials.cache: the dsx-connect's Redis, and what our database says of it."""

    def __init__(self) -> None:
        self.rate = Rate()

    def changes_since(self, position: int | None) -> tuple[int, set[str] | None]:
        """Return what changed in our database, if that Redis answers as well.

        Raises:
            django.db.Error, redis.exceptions.RedisError: one of them did not answer.
        """
        dsx_connect.check()
        return database.changes_since(position)

    def read(self, key_ids: Sequence[str]) -> list[Row]:
        """Return a row for each key id that was not issued here and is good at the dsx-connect.

        Raises:
            django.db.Error, redis.exceptions.RedisError: one of them did not answer.
        """
        ours = set(Credential.objects.filter(key_id__in=key_ids).values_list("key_id", flat=True))
        pairs = dsx_connect.look_up([key_id for key_id in key_ids if key_id not in ours])
        uuids = {pair.connector_uuid for pair in pairs.values()}
        connectors = {str(each.pk): each for each in Connector.objects.filter(pk__in=uuids)}
        rows: list[Row] = []
        for key_id, pair in pairs.items():
            self.rate.note_found(key_id)
            found = connectors.get(pair.connector_uuid)
            connector = found or Connector(accepts_dsx_connect=True)  # as `admit` will create it
            is_accepted, policy = connector.accepts_dsx_connect, Policy.of(connector)
            rows.append((key_id, pair, found is not None, connector.enabled, is_accepted, policy))
        return rows

    def credential_of(self, row: Row) -> LiveCredential | None:
        """Return the credential in a row of `read`; None if its connector is disabled here."""
        key_id, pair, has_connector, is_enabled, is_accepted, policy = row
        if not is_enabled:
            return None
        return LiveCredential(
            key_id=key_id,
            secret=pair.secret,
            connector_uuid=pair.connector_uuid,
            expires_at=None,
            policy=policy,
            has_connector=has_connector,
            refusal="" if is_accepted else NOT_ACCEPTED,
        )


def admit(connector_uuid: str) -> None:
    """Create the connector of a dsx-connect that has signed its first request here.

    Raises:
        Forbidden: code `dsx_connect_full`: DSX_CONNECT_MAX_CONNECTORS have come already.
        SignatureRefused: it was deleted while it was disabled; or an operator has created, or
            disabled, it meanwhile.
        django.db.Error: the database did not answer.
    """
    connector = Connector.objects.filter(pk=connector_uuid).first() or _create(UUID(connector_uuid))
    if connector is None:
        if failures.count(FULL):
            logger.error(
                "connector %s of the dsx-connect is refused: %d came from there already, which is "
                "DSX_CONNECT_MAX_CONNECTORS",
                connector_uuid,
                settings.DSX_CONNECT_MAX_CONNECTORS,
            )
        raise Forbidden(
            "No more connectors of the dsx-connect are admitted; an operator has to raise "
            "DSX_CONNECT_MAX_CONNECTORS.",
            code=FULL,
        )
    if not (connector.enabled and connector.accepts_dsx_connect):
        raise SignatureRefused(reason=NOT_ACCEPTED)


@transaction.atomic
def _create(connector_uuid: UUID) -> Connector | None:
    """Return the connector, created if it is still missing; None if there is no room."""
    # For the number below to hold. It is no change: workers would forget the credential, and lack
    # it if that Redis went away before the next call.
    ChangeCounter.lock()
    connector = Connector.objects.filter(pk=connector_uuid).first()
    if connector is not None:
        return connector
    if DeletedConnector.objects.filter(pk=connector_uuid).exists():
        raise SignatureRefused(reason=NOT_ACCEPTED)
    came = Connector.objects.filter(came_from_dsx_connect=True).count()
    if came >= settings.DSX_CONNECT_MAX_CONNECTORS:
        return None
    connector = Connector(
        uuid=connector_uuid,
        name=f"dsx-connect {connector_uuid}",
        accepts_dsx_connect=True,
        came_from_dsx_connect=True,
    )
    connector.save(force_insert=True)
    logger.info("connector %s of the dsx-connect was admitted", connector_uuid)
    return connector


def unavailable() -> Unavailable:
    """Return the error for a key id that can't be looked up now: a 503, never a 401."""
    return Unavailable(
        "The dsx-connect's Redis, which may know this key id, does not answer. Try again.",
        code="dsx_connect_unavailable",
    )
