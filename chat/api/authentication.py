"""Authenticate users by bearer tokens, which chat.api.bearer.tokens verifies."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from chat.api.bearer.tokens import user_id_of
from chat.errors import Forbidden
from common.telemetry.request import note_caller

USER_ID = "statekeep.user_id"  # in WSGI's environ, where what a client sends is named HTTP_…


@dataclass(frozen=True, slots=True)
class ChatPrincipal:
    """The request.user of a chat request, with the user id of the token."""

    user_id: str

    is_authenticated = True


class BearerAuthentication(BaseAuthentication):
    """Authenticates a user by `Authorization: Bearer <JWT>`."""

    def authenticate(self, request: Request) -> tuple[ChatPrincipal, None] | None:
        """Return the token's user, or None for another scheme.

        Raises:
            TokenRefused: the token is not valid.
            Unavailable: the keys to verify it with can't be fetched.
        """
        user_id = user_id_in(request.META)
        return None if user_id is None else (ChatPrincipal(user_id), None)

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="chat"'


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

    It is kept there: config.door asks before it receives a body, and then the view does.

    Raises:
        TokenRefused, Unavailable: as in user_id_of.
    """
    if USER_ID not in environ:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        environ[USER_ID] = user_id_of(token.strip()) if scheme.lower() == "bearer" else None
    user_id: str | None = environ[USER_ID]
    note_caller(user=user_id or "")
    return user_id
