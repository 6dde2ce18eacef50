"""Issuing credentials, and finding the live one of a request."""

import base64
import secrets
import threading
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from connector_state import secrets as encryption
from connector_state.models import Connector, Credential
from connector_state.policy import Policy

KEY_ID_BYTES = 12
SECRET_BYTES = 32
UNKNOWN_KEY_IDS_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class IssuedCredential:
    """A credential with its secret in clear, as it is shown once."""

    connector: Connector
    key_id: str
    secret: str = field(repr=False)

    def as_json(self) -> dict[str, str]:
        """The names of the register answer."""
        return {
            "connector_uuid": str(self.connector.uuid),
            "hmac_key_id": self.key_id,
            "hmac_secret": self.secret,
        }


@dataclass(frozen=True, slots=True)
class LiveCredential:
    """What a request is checked against."""

    key_id: str
    secret: bytes = field(repr=False)
    connector_uuid: str
    expires_at: float | None
    policy: Policy


def create_connector(
    name: str, connector_uuid: uuid.UUID | None = None, **fields: Any
) -> IssuedCredential:
    """Create a connector with a first credential.

    Raises:
        django.db.IntegrityError: the UUID is taken.
    """
    with transaction.atomic():
        connector = Connector(uuid=connector_uuid or uuid.uuid4(), name=name, **fields)
        connector.save(force_insert=True)
        return issue_credential(connector)


def issue_credential(connector: Connector, expires_at: datetime | None = None) -> IssuedCredential:
    """Give the connector one more credential."""
    key_id = _random_base64(KEY_ID_BYTES)
    secret = _random_base64(SECRET_BYTES)
    Credential.objects.create(
        connector=connector,
        key_id=key_id,
        encrypted_secret=encryption.encrypt(secret),
        expires_at=expires_at,
    )
    return IssuedCredential(connector, key_id, secret)


def newest_live_credential(connector: Connector) -> IssuedCredential | None:
    """Return the connector's newest live credential with its secret, or None."""
    credential = connector.credentials.live().first()
    if credential is None:
        return None
    secret = encryption.decrypt(credential.encrypted_secret)
    return IssuedCredential(connector, credential.key_id, secret)


def _random_base64(length: int) -> str:
    return base64.b64encode(secrets.token_bytes(length)).decode()


# --- The cache of each process ------------------------------------------------------------------


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
