"""Authenticate users by bearer tokens, which chat.api.bearer.tokens verifies."""

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from chat.api.bearer.tokens import Bearer, bearer_of
from chat.errors import Forbidden, TokenRefused
from chat.models import ChatUser
from common.telemetry.request import note_caller

BEARER = "statekeep.bearer"  # in WSGI's environ, where what a client sends is named HTTP_…


@dataclass(frozen=True, slots=True)
class ChatPrincipal:
    """The request.user of a chat request, with what its token says."""

    user_id: str
    issued_at: datetime | None
    authenticated_at: datetime = field(default_factory=timezone.now)

    is_authenticated = True


class BearerAuthentication(BaseAuthentication):
    """Authenticates a user by `Authorization: Bearer <JWT>`."""

    def authenticate(self, request: Request) -> tuple[ChatPrincipal, None] | None:
        """Return the token's user, or None for another scheme.

        Raises:
            TokenRefused: the token is not valid.
            Unavailable: the keys to verify it with can't be fetched.
        """
        bearer = _bearer_in(request.META)
        if bearer is None:
            return None
        return ChatPrincipal(bearer.user_id, _moment(bearer.issued_at)), None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="chat"'


class NotForgotten(BasePermission):
    """Permission for those of whom not everything was removed since their token was issued."""

    def has_permission(self, request: Request, view: Any) -> bool:
        principal = request.user
        if isinstance(principal, ChatPrincipal):
            _check_not_forgotten(principal.user_id, principal.issued_at)
        return isinstance(principal, ChatPrincipal)  # else DRF answers with a 401


class OwnPath(BasePermission):
    """Permission to use the paths of the token's own user, and no other's."""

    def has_permission(self, request: Request, view: Any) -> bool:
        principal = request.user
        if not isinstance(principal, ChatPrincipal):
            return False  # DRF answers with a 401
        if principal.user_id != view.kwargs["user_id"]:
            raise Forbidden()
        return True


def user_id_in(environ: MutableMapping[str, Any]) -> str | None:
    """Return the user id of the token in WSGI's environ, or None for another scheme.

    The database is not asked: the user may have been removed since.

    Raises:
        TokenRefused, Unavailable: as in bearer_of.
    """
    bearer = _bearer_in(environ)
    return None if bearer is None else bearer.user_id


def check_not_forgotten(user_id: str, issued_at: float | None) -> None:
    """Refuse a token from before all of its user was removed (chat.retention.forget).

    Args:
        user_id: whom the token names.
        issued_at: its claim `iat`, None without one.

    Raises:
        TokenRefused: it is from before.
    """
    _check_not_forgotten(user_id, _moment(issued_at))


def _check_not_forgotten(user_id: str, issued_at: datetime | None) -> None:
    if ChatUser.refuses(user_id, issued_at):
        raise TokenRefused("The token is from before its user was removed. Log in again.")


def _moment(issued_at: float | None) -> datetime | None:
    return None if issued_at is None else datetime.fromtimestamp(issued_at, UTC)


def _bearer_in(environ: MutableMapping[str, Any]) -> Bearer | None:
    # It is kept there: config.door asks before it receives a body, and then the view does.
    if BEARER not in environ:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        environ[BEARER] = bearer_of(token.strip()) if scheme.lower() == "bearer" else None
    bearer: Bearer | None = environ[BEARER]
    note_caller(user=bearer.user_id if bearer else "")
    return bearer
