"""Issuing, rotating and revoking credentials."""

import base64
import secrets
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max, Q
from django.utils import timezone

from connector_state.credentials import encryption
from connector_state.errors import InvalidRequest, Unavailable
from connector_state.models import Connector, Credential

KEY_ID_BYTES = 12
SECRET_BYTES = 32


class IssuedMeanwhile(Exception):
    """A credential was issued since the newest one was looked up; nothing was issued now."""


@dataclass(frozen=True, slots=True)
class IssuedCredential:
    """A credential with its secret in clear, as it is shown once.

    `ended` are the key ids that ended when it was issued, for marks.mark_revoked.
    """

    connector: Connector
    key_id: str
    secret: str = field(repr=False)
    ended: tuple[str, ...] = ()

    def as_json(self) -> dict[str, str]:
        """The names of the register answer."""
        return {
            "connector_uuid": str(self.connector.uuid),
            "hmac_key_id": self.key_id,
            "hmac_secret": self.secret,
        }


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


def newest_credential_id(connector: Connector) -> int | None:
    """Return the primary key of the credential that was issued last, live or not."""
    newest: int | None = connector.credentials.aggregate(newest=Max("pk"))["newest"]
    return newest


def check_newest_credential(connector: Connector, newest: int | None) -> None:
    """Lock the connector, and make sure that nobody issued a credential since `newest` was read.

    To be called within the transaction that issues the next one: a compare-and-swap, so that a
    form sent twice issues once.

    Raises:
        IssuedMeanwhile: somebody did.
    """
    _lock(connector)
    if newest_credential_id(connector) != newest:
        raise IssuedMeanwhile()


def check_overlap(overlap: timedelta, expires_at: datetime | None) -> None:
    """Make sure that a new credential outlives those that it takes the place of.

    Raises:
        InvalidRequest: whoever has changed over to it would be locked out first.
    """
    if expires_at is not None and expires_at <= timezone.now() + overlap:
        raise InvalidRequest(
            "The new credential would end before the others: let it live longer than they overlap."
        )


@transaction.atomic
def rotate_credential(
    connector: Connector, overlap: timedelta, expires_at: datetime | None = None
) -> IssuedCredential:
    """Issue a credential, and let those that are live now end after the overlap.

    Of two at once the second waits for the first, and ends what that issued. Without an overlap the
    others are `ended` of what is returned: mark them, so that they end at once.
    """
    _lock(connector)
    ends = timezone.now() + overlap
    outlive = Q(expires_at=None) | Q(expires_at__gt=ends)
    others = connector.credentials.live().filter(outlive)
    ended = () if overlap else tuple(others.values_list("key_id", flat=True))
    others.update(expires_at=ends)
    return replace(issue_credential(connector, expires_at), ended=ended)


def revoke_credential(key_id: str) -> Credential:
    """Revoke a credential. Every process refuses it within two seconds; a mark makes it at once.

    Raises:
        Credential.DoesNotExist: there is none of this key id.
    """
    credential = Credential.objects.select_related("connector").get(key_id=key_id)
    if credential.revoked_at is None:
        credential.revoked_at = timezone.now()
        credential.save(update_fields=["revoked_at"])
    return credential


def was_issued(key_id: str) -> bool:
    """Whether there is a credential of this key id, live or not."""
    return Credential.objects.filter(key_id=key_id).exists()


def reencrypt_secrets() -> Iterator[tuple[Credential, bool]]:
    """Encrypt every secret anew under the first of CONNECTOR_SECRET_KEYS.

    Yields:
        Each credential, and whether it worked; one that none of the keys decrypts is left as it is.
    """
    for credential in Credential.objects.select_related("connector").order_by("pk").iterator():
        before = credential.encrypted_secret
        try:
            after = encryption.rotate(before)
        except Unavailable:
            yield credential, False
            continue
        Credential.objects.filter(pk=credential.pk, encrypted_secret=before).update(
            encrypted_secret=after
        )
        yield credential, True


def unreadable_credentials() -> tuple[list[str], int]:
    """Return the key ids whose secrets none of CONNECTOR_SECRET_KEYS decrypts, of how many."""
    unreadable, total = [], 0
    rows = Credential.objects.order_by("pk").values_list("key_id", "encrypted_secret")
    for key_id, encrypted in rows.iterator():
        total += 1
        try:
            encryption.decrypt(encrypted)
        except Unavailable:
            unreadable.append(key_id)
    return unreadable, total


def newest_live_credential(connector: Connector) -> IssuedCredential | None:
    """Return the connector's newest live credential with its secret, or None."""
    credential = connector.credentials.live().first()
    if credential is None:
        return None
    secret = encryption.decrypt(credential.encrypted_secret)
    return IssuedCredential(connector, credential.key_id, secret)


def _lock(connector: Connector) -> None:
    """Let nobody else issue a credential of the connector until the transaction ends."""
    Connector.objects.select_for_update().get(pk=connector.pk)


def _random_base64(length: int) -> str:
    return base64.b64encode(secrets.token_bytes(length)).decode()
