"""DSX-HMAC as a DRF authentication class, and who is allowed in by it."""

import logging
import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission

from common.client_ip import client_address
from common.telemetry.request import note_caller
from connector_state.api.waiting import Waits, waits_of
from connector_state.credentials import foreign, signing
from connector_state.credentials.counters import failures, refusals
from connector_state.credentials.issuing import was_issued
from connector_state.credentials.live import LiveCredential
from connector_state.errors import (
    Forbidden,
    InvalidRequest,
    LengthRequired,
    SignatureRefused,
    ValueTooLarge,
)
from connector_state.store.calls import Nonce
from connector_state.store.policy import Policy

logger = logging.getLogger(__name__)

CONTENT_LENGTH_MAX_DIGITS = 12
HASHED_AT_ONCE_BYTES = 65_536
UNKNOWN_KEY_ID = "unknown_key_id"


@dataclass(frozen=True, slots=True)
class ConnectorPrincipal:
    """The view's principal of a signed request."""

    uuid: str
    key_id: str
    policy: Policy


class DSXHMACAuthentication(BaseAuthentication):
    """Authenticates a connector by its signature.

    The nonce is not claimed yet: the script that does the request's work claims it
    (ConnectorAPIView sees to it that one did).

    Everything that can be checked without the body is, before a byte of it is received: an
    anonymous upload can hold nothing.
    """

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes

    async def authenticate(  # type: ignore[override]
        self, request: HttpRequest
    ) -> tuple[ConnectorPrincipal, Nonce] | None:
        """Return the connector and the nonce of its request; None for a foreign scheme.

        Raises:
            SignatureRefused, LengthRequired, ValueTooLarge, InvalidRequest.
        """
        assert request.resolver_match is not None
        route, header = request.resolver_match.kwargs, None
        try:
            header = signing.parse_authorization_header(request.META.get("HTTP_AUTHORIZATION", ""))
            if header is None:
                return None
            return await _authenticate(header, request, route.get("key", ""), self._max_body_bytes)
        except SignatureRefused as refusal:
            key_id = header.key_id if header else None
            await report_refusal(refusal, request, route["connector_uuid"], key_id)
            raise

    def authenticate_header(self, request: Any) -> str:
        return signing.SCHEME


async def report_refusal(
    refusal: SignatureRefused, request: HttpRequest, connector_uuid: str, key_id: str | None
) -> bool:
    """Count a refused signature by its reason, and log whom it was about; return whether it did.

    Nothing that a stranger could write is logged. In a flood only some are, by failures.

    Args:
        refusal: why.
        request: what was refused.
        connector_uuid: of its path, where it has the form of a UUID.
        key_id: of its header, where it has one; logged only if we, or the dsx-connect, issued it.
    """
    refusals.count(refusal.reason, connector_uuid)
    if is_logged := failures.count(refusal.reason):
        key = await waits_of(request).run(_describe_key_id, key_id, refusal.reason)
        logger.warning(
            "refused a signed request: %s; connector %s, %s, from %s",
            refusal.reason,
            connector_uuid,
            key,
            client_address(request),
        )
    return is_logged


def _describe_key_id(key_id: str | None, reason: str) -> str:
    if reason == foreign.NOT_ACCEPTED:
        return f"key id {key_id} of the dsx-connect, which nobody accepted for this connector"
    try:
        if key_id is None or not was_issued(key_id):
            return "unknown key id"
    except DatabaseError:
        return "key id not looked up, for want of the database"
    if reason == UNKNOWN_KEY_ID:
        return f"key id {key_id} (revoked, expired or of a disabled connector)"
    return f"key id {key_id}"


async def _authenticate(
    header: signing.AuthorizationHeader, request: HttpRequest, key: str, max_body_bytes: int
) -> tuple[ConnectorPrincipal, Nonce]:
    waits = waits_of(request)
    credential = await _check_freshness(header, request, waits)
    has_body = check_length(request, max_body_bytes) > 0
    query = request.META.get("QUERY_STRING", "").encode("latin-1")
    if signing.SEPARATOR in query:
        raise InvalidRequest("Send '|' in a query as %7C.", code="invalid_query")
    body = b""
    if has_body:
        body = await waits.body(request)
        # A body held back for minutes must outlive neither its timestamp, and with it the memory
        # of its nonce, nor its credential.
        credential = await _check_freshness(header, request, waits)
    exact = _exact_target(request.META)
    targets = signing.candidate_targets(request.path, key, query, exact)
    signed = (credential.secret, header, request.method or "", targets, body)
    # A large body hashed once for each candidate would keep everybody on a loop waiting.
    is_small = len(body) <= HASHED_AT_ONCE_BYTES
    if not (signing.verify(*signed) if is_small else await waits.run(signing.verify, *signed)):
        # No signature covers one. Only now: a proxy may have made it of a %7C that was signed.
        if exact is not None and signing.SEPARATOR in exact:
            raise InvalidRequest("Sign and send '|' in a path as %7C.", code="invalid_path")
        raise SignatureRefused()
    if not credential.has_connector:
        await waits.run(foreign.admit, credential.connector_uuid)
    note_caller(connector=credential.connector_uuid)
    principal = ConnectorPrincipal(credential.connector_uuid, header.key_id, credential.policy)
    return principal, Nonce(header.key_id, header.nonce)


async def _check_freshness(
    header: signing.AuthorizationHeader, request: HttpRequest, waits: Waits
) -> LiveCredential:
    """Return the live credential of a request whose timestamp is within the window."""
    # Whole seconds, as clients send them: so the earliest and the latest ts are as far off.
    if abs(int(time.time()) - int(header.ts)) > settings.HMAC_SKEW_SECONDS:
        raise SignatureRefused(
            f"The timestamp is more than {settings.HMAC_SKEW_SECONDS} s off this server's clock.",
            code="timestamp_out_of_window",
        )
    credential = await waits.find_live(header.key_id, client_address(request))
    if credential is None:
        raise SignatureRefused(reason=UNKNOWN_KEY_ID)
    if credential.refusal:
        raise SignatureRefused(reason=credential.refusal)
    return credential


def check_length(request: HttpRequest, max_bytes: int) -> int:
    """Return the length of the body, before a byte of it is read, if it is within the limit.

    Raises:
        LengthRequired, ValueTooLarge.
    """
    if "HTTP_TRANSFER_ENCODING" in request.META:
        raise LengthRequired()
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or len(length) > CONTENT_LENGTH_MAX_DIGITS or int(length) > max_bytes:
        raise ValueTooLarge(f"The body may have at most {max_bytes} bytes.")
    return int(length)


def _exact_target(meta: dict[str, Any]) -> bytes | None:
    """Return the request target as sent, where the server supplies it (config.asgi, gunicorn)."""
    target = meta.get("RAW_URI") or meta.get("REQUEST_URI")
    return target.encode("latin-1", "replace") if target else None


class OwnConnector(BasePermission):
    """A credential opens its own connector's UUID alone, whether or not another one exists."""

    def has_permission(self, request: Any, view: Any) -> bool:
        """Whether the path names the caller's own connector; 401 for an anonymous caller."""
        if view.principal is None:
            return False
        if view.principal.uuid != view.kwargs["connector_uuid"]:
            raise Forbidden("This credential belongs to another connector.", code="other_connector")
        return True
