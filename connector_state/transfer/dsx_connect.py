"""Take over what a dsx-connect's Redis holds: connectors, their credentials and their state.

State is read as an export (transfer.lines), so that it goes the way of every import.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from secrets import token_hex
from uuid import UUID

from django.db import transaction
from django_redis import get_redis_connection
from redis.exceptions import ResponseError

from connector_state.changes import CredentialChange
from connector_state.credentials import dsx_connect, encryption
from connector_state.errors import InvalidRequest
from connector_state.models import Connector, Credential, DeletedConnector
from connector_state.store.keys import Address
from connector_state.transfer.lines import ExportedKey, end_line, header_line, key_line

STATE_PREFIX = "dsxconnect:connector_state:"
SCANNED_AT_ONCE = 1000
READ_AT_ONCE = 100


class Taken(Enum):
    """What becomes of a connector's credential in the dsx-connect."""

    NEW = "taken over"
    KNOWN = "known already"
    NONE = "none that works there"
    NOT_ACCEPTED = (
        "not taken over: this connector was here first, so accept its dsx-connect credential on "
        "its page"
    )
    OTHERS = "not taken over: its key id belongs to another connector here"


@dataclass(slots=True)
class Found:
    """A connector of a dsx-connect, and the names of its values, `namespace:key`."""

    uuid: str
    has_config: bool = False
    members: list[bytes] = field(default_factory=list)


def find_connectors() -> list[Found]:
    """Return the connectors of the dsx-connect, by UUID.

    Takes a user who may SCAN.

    Raises:
        redis.exceptions.RedisError: its Redis did not answer, or its user may not.
    """
    found: dict[str, Found] = {}
    config_prefix = dsx_connect.config_key("")
    for key in _scan(f"{config_prefix}*"):
        if uuid := dsx_connect.canonical_uuid(key.removeprefix(config_prefix.encode())):
            found.setdefault(uuid, Found(uuid)).has_config = True
    members = defaultdict(set)  # SCAN may name a key twice
    for key in _scan(f"{STATE_PREFIX}*"):
        head, _, member = key.removeprefix(STATE_PREFIX.encode()).partition(b":")
        if uuid := dsx_connect.canonical_uuid(head):
            members[uuid].add(member)
    for uuid, names in members.items():
        found.setdefault(uuid, Found(uuid)).members = sorted(names)
    return sorted(found.values(), key=lambda each: each.uuid)


def _scan(pattern: str) -> Iterator[bytes]:
    yield from dsx_connect.client().scan_iter(match=pattern, count=SCANNED_AT_ONCE)


def is_our_redis() -> bool:
    """Return whether the dsx-connect's Redis is ours, where its values are in place already.

    Raises:
        redis.exceptions.RedisError: one of them did not answer.
    """
    mark = f"statekeep:same_redis:{token_hex(8)}"
    ours = get_redis_connection()
    ours.set(mark, 1, ex=60)
    try:
        return dsx_connect.client().get(mark) is not None
    finally:
        ours.delete(mark)


# --- Connectors and credentials -------------------------------------------------------------------


def connector_for(found: Found, *, stays_there: bool) -> Connector | None:
    """Return the connector of this UUID, not saved if it is new; None if it may not come back.

    Args:
        found: what the dsx-connect has of it.
        stays_there: its credential is looked up there from now on, and so has to be accepted.
    """
    connector = Connector.objects.filter(pk=found.uuid).first()
    if connector is not None:
        return connector
    if DeletedConnector.objects.filter(pk=found.uuid).exists():
        return None
    return Connector(
        uuid=UUID(found.uuid),
        name=f"dsx-connect {found.uuid}",
        accepts_dsx_connect=stays_there,
        came_from_dsx_connect=stays_there,
    )


def take_credential(connector: Connector, *, is_new: bool, dry_run: bool) -> Taken:
    """Issue the connector's credential of the dsx-connect here, unless it is a dry run.

    One that is known here stays as it is: revoked, if it was.

    Raises:
        redis.exceptions.RedisError: the dsx-connect's Redis did not answer.
    """
    uuid = str(connector.pk)
    key_id = dsx_connect.key_id_of(uuid)
    pair = dsx_connect.look_up([key_id]).get(key_id) if key_id else None
    if key_id is None or pair is None or pair.connector_uuid != uuid:
        return Taken.NONE
    known = Credential.objects.filter(key_id=key_id).first()
    if known is not None:
        return Taken.KNOWN if known.connector_id == connector.pk else Taken.OTHERS
    if not is_new and not connector.accepts_dsx_connect:
        return Taken.NOT_ACCEPTED
    if not dry_run:
        with transaction.atomic():
            # Unlike a new key id, workers may have asked for this one, and know that it is unknown.
            CredentialChange.note([connector.pk])
            Credential.objects.create(
                connector=connector,
                key_id=key_id,
                encrypted_secret=encryption.encrypt(pair.secret.decode()),
            )
    return Taken.NEW


# --- State ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Skipped:
    """How many values were left out: what breaks the API's rules, and what is no string."""

    count: int = 0


def export(found: Found, max_value_bytes: int, skipped: Skipped) -> Iterator[bytes]:
    """Yield the lines of an export of a connector's state in the dsx-connect.

    Args:
        found: the connector.
        max_value_bytes: larger values are skipped.
        skipped: counts them.

    Raises:
        redis.exceptions.RedisError: its Redis did not answer.
    """
    yield header_line(found.uuid, None)
    count = 0
    for first in range(0, len(found.members), READ_AT_ONCE):
        for exported in _read(found.uuid, found.members[first : first + READ_AT_ONCE]):
            if exported is None or len(exported.value) > max_value_bytes:
                skipped.count += 1
            else:
                count += 1
                yield key_line(exported)
    yield end_line(count)


def _read(uuid: str, members: list[bytes]) -> Iterator[ExportedKey | None]:
    """Yield these values; None for one that can't be stored here. Those that are gone are not."""
    pipeline = dsx_connect.client().pipeline(transaction=False)
    for member in members:
        key = f"{STATE_PREFIX}{uuid}:".encode() + member
        pipeline.get(key)
        pipeline.pttl(key)
    replies = pipeline.execute(raise_on_error=False)
    for member, value, ttl in zip(members, replies[::2], replies[1::2], strict=True):
        if isinstance(value, ResponseError) and str(value).startswith("WRONGTYPE"):
            yield None
        elif isinstance(value, Exception):
            raise value
        elif value is not None:
            yield _exported(member, value, ttl)


def _exported(member: bytes, value: bytes, ttl: int) -> ExportedKey | None:
    ends = datetime.now(UTC) + timedelta(milliseconds=ttl) if ttl >= 0 else None
    with suppress(InvalidRequest, UnicodeDecodeError):
        return ExportedKey(Address.from_member(member.decode()), value, ends)
    return None
