"""Enrolment: connectors register themselves with a token, as they do with a dsx-connect.

A token gives its holder the secrets of connectors, so its reach is limited: only to connectors
that were enrolled with a token of the same group (docs/enrolment.md).
"""

import hmac
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django_redis import get_redis_connection
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from redis.exceptions import RedisError

from common.events.models import Event, record
from connector_state.credentials import issuing
from connector_state.credentials.issuing import IssuedCredential
from connector_state.errors import Forbidden, RateLimited, Unavailable
from connector_state.models import Connector

logger = logging.getLogger(__name__)

CHANGES_KEPT = 100  # per connector
LOCK_SECONDS = 10
LOCK_WAIT_SECONDS = 3
NEW_CONNECTORS_WINDOW = timedelta(minutes=1)

Text = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Registration(BaseModel):
    """The body of a register call. Connectors send more fields, which are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: Text = Field(min_length=1, max_length=255)
    url: Text = Field(min_length=1, max_length=2048)
    uuid: UUID | None = None


def groups() -> set[str]:
    """Return the groups that have a token; "" is that of tokens without a prefix."""
    entries = (entry.partition(":") for entry in settings.ENROLLMENT_TOKENS)
    return {group if colon else "" for group, colon, _ in entries}


def group_of(token: str) -> str | None:
    """Return the group of an enrolment token, or None if the token is wrong.

    An entry of ENROLLMENT_TOKENS is `group:token`, or a token alone, whose group is "". Connectors
    may send the token or the whole entry.
    """
    if not token:
        return None
    found = None
    # Every entry is compared, in constant time: how long it takes tells nothing about the tokens.
    for entry in settings.ENROLLMENT_TOKENS:
        group, colon, secret = entry.partition(":")
        is_secret = hmac.compare_digest((secret if colon else group).encode(), token.encode())
        is_entry = hmac.compare_digest(entry.encode(), token.encode())
        if is_secret or is_entry:
            found = group if colon else ""
    return found


@dataclass(frozen=True, slots=True)
class Registered:
    """The result of a register call: the connector, and its live credential.

    `issued` is None where an operator has made the connector: it has its credential from them.
    """

    connector: Connector
    issued: IssuedCredential | None
    is_new: bool = False


def register(registration: Registration, group: str, peer_address: str) -> Registered:
    """Create a connector, or record the heartbeat of an existing one.

    Args:
        registration: the body of the call.
        group: of the caller's token.
        peer_address: the caller's address, kept for operators.

    Raises:
        Forbidden: the connector was neither enrolled by this group nor made for it, is disabled,
            has no live credential, or the group is full.
        RateLimited: the group has too many new connectors.
        Unavailable: Redis, which holds the lock for new connectors, did not answer.
    """
    found = _find(registration.uuid) or _create(registration, group, peer_address)
    if isinstance(found, IssuedCredential):
        return Registered(found.connector, found, is_new=True)
    if _keeps_its_credential(found, group):
        found.last_seen_at = timezone.now()
        found.save(update_fields=["last_seen_at"])
        return Registered(found, None)
    return Registered(found, _refresh(found, registration, group, peer_address))


def _keeps_its_credential(connector: Connector, group: str) -> bool:
    """Return whether an operator made the connector for this group, and it can go on."""
    return (
        connector.heartbeat_group == group
        and connector.enabled
        and connector.credentials.live().exists()
    )


def unregister(connector_uuid: str, group: str | None = None) -> None:
    """Mark a connector as offline; its state and its credentials stay as they are.

    Args:
        connector_uuid: whose shutdown it is.
        group: of the token that came instead of a signature. A connector that was not enrolled by
            this group stays as it is, and nobody is told, so that a token can't be used to find out
            which connectors exist.
    """
    connectors = Connector.objects.filter(uuid=connector_uuid)
    if group is not None:
        connectors = connectors.filter(enrolment_group=group)
    connectors.update(offline_at=timezone.now())


def _find(connector_uuid: UUID | None) -> Connector | None:
    if connector_uuid is None:
        return None
    return Connector.objects.filter(uuid=connector_uuid).first()


def _create(
    registration: Registration, group: str, peer_address: str
) -> IssuedCredential | Connector:
    """Create a connector; return it if another request has created it in the meantime."""
    # The lock makes the count of connectors hold: requests at once would all see the same number.
    lock = get_redis_connection().lock(
        f"statekeep:enrolment:{group}", timeout=LOCK_SECONDS, blocking_timeout=LOCK_WAIT_SECONDS
    )
    try:
        with lock:
            if connector := _find(registration.uuid):
                return connector
            _check_room(group)
            issued = issuing.create_connector(
                registration.name,
                registration.uuid,
                enrolment_group=group,
                url=registration.url,
                peer_address=peer_address,
                last_seen_at=timezone.now(),
            )
    except RedisError as error:
        raise Unavailable("The connector can't be registered right now. Try again.") from error
    except IntegrityError:
        # Another group, or an operator, has created the UUID: they hold another lock, or none.
        if connector := _find(registration.uuid):
            return connector
        raise
    words = f"Enrolled {issued.connector} with credential {issued.key_id}."
    about = issued.connector.event_subject
    record(Event.Kind.CREDENTIAL, Event.Area.STATE, words, f"enrolment group {group}", **about)
    logger.info("enrolled connector %s in group %r", issued.connector.uuid, group)
    return issued


def _check_room(group: str) -> None:
    enrolled = Connector.objects.filter(enrolment_group=group)
    if enrolled.count() >= settings.ENROLLMENT_MAX_CONNECTORS:
        raise Forbidden(
            "No more connectors can enrol with this token; an operator has to remove some or "
            "raise ENROLLMENT_MAX_CONNECTORS.",
            code="enrolment_full",
        )
    since = timezone.now() - NEW_CONNECTORS_WINDOW
    if enrolled.filter(created_at__gt=since).count() >= settings.ENROLLMENT_NEW_PER_MINUTE:
        raise RateLimited("Too many new connectors in the last minute.", retry_after_seconds=60)


@transaction.atomic
def _refresh(
    connector: Connector, registration: Registration, group: str, peer_address: str
) -> IssuedCredential:
    if connector.enrolment_group != group:
        raise Forbidden(
            "This connector was not enrolled with this token; an operator hands out its "
            "credential.",
            code="not_enrolled",
        )
    if not connector.enabled:
        raise Forbidden("This connector is disabled.", code="connector_disabled")
    issued = issuing.newest_live_credential(connector)
    if issued is None:
        raise Forbidden(
            "This connector has no live credential; an operator has to issue one.",
            code="no_live_credential",
        )
    _note_changes(connector, registration, peer_address)
    connector.last_seen_at = timezone.now()
    connector.offline_at = None
    connector.save(update_fields=["name", "url", "peer_address", "last_seen_at", "offline_at"])
    return issued


def _note_changes(connector: Connector, registration: Registration, peer_address: str) -> None:
    seen = {"name": registration.name, "url": registration.url, "peer_address": peer_address}
    changed = {field: after for field, after in seen.items() if getattr(connector, field) != after}
    for field, after in changed.items():
        connector.enrolment_changes.create(
            field=field, before=getattr(connector, field), after=after
        )
        logger.info("connector %s changed its %s", connector.uuid, field)
        setattr(connector, field, after)
    if changed:
        old = connector.enrolment_changes.values_list("pk", flat=True)[CHANGES_KEPT:]
        connector.enrolment_changes.filter(pk__in=list(old)).delete()
