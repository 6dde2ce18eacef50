"""Authenticate users by bearer tokens. No claim gives a privilege.

A process accepts one algorithm: HS256 with JWT_SIGNING_KEY, or RS256 with the keys of JWT_JWKS_URL.
Tokens of another issuer need only `exp`, and `sub` or `user_id`.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeGuard

import jwt
from django.conf import settings
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from chat.api import jwks
from chat.conversations.state import USER_ID_MAX_CHARACTERS
from chat.errors import Forbidden, TokenRefused
from chat.models import ChatUser

TOKEN_MAX_CHARACTERS = 8192
CLOCK_LEEWAY_SECONDS = 10
HEADER_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
INTEGER_MAX = 2**63 - 1
NOT_IN_USER_IDS = ("/", "||")  # routes end a user id at the first, Dapr splits keys at the second
TIME_MAX = 10**11  # seconds since 1970


@dataclass(frozen=True, slots=True)
class ChatPrincipal:
    """The request.user of a chat request, with the user id of the token."""

    user_id: str
    authenticated_at: datetime = field(default_factory=timezone.now)

    is_authenticated = True


class BearerAuthentication(BaseAuthentication):
    """Authenticates a user by `Authorization: Bearer <JWT>`."""

    def authenticate(self, request: Request) -> tuple[ChatPrincipal, None] | None:
        """Return the token's user, or None for another scheme.

        Raises:
            TokenRefused: the token is not valid, or from before its user was removed.
            Unavailable: the keys to verify it with can't be fetched.
        """
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        user_id, issued_at = _read(token.strip())
        principal = ChatPrincipal(user_id)  # the time first: see chat.turns.accept
        check_not_forgotten(user_id, issued_at)
        return principal, None

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


def user_id_of(token: str) -> str:
    """Verify a token, and return its user id: the claim `user_id`, else `sub`.

    The database is not asked, so the user may have been removed since.

    Raises:
        TokenRefused: it is not valid.
        Unavailable: the keys to verify it with can't be fetched.
    """
    return _read(token)[0]


def check_not_forgotten(user_id: str, issued_at: object) -> None:
    """Refuse a token from before all of its user was removed (chat.retention.forget).

    Args:
        user_id: whom the token names.
        issued_at: its claim `iat`; what is no time counts as none.

    Raises:
        TokenRefused: it is from before.
    """
    moment = datetime.fromtimestamp(issued_at, UTC) if _is_time(issued_at) else None
    if ChatUser.refuses(user_id, moment):
        raise TokenRefused("The token is from before its user was removed. Log in again.")


def _read(token: str) -> tuple[str, object]:
    """Verify a token, and return its user id and its claim `iat`, None without one."""
    if not token or len(token) > TOKEN_MAX_CHARACTERS:
        raise TokenRefused()
    claims = _verified_claims(token)
    if not _is_time(claims["exp"]):
        raise TokenRefused()
    if claims.get("token_type", "access") != "access":
        raise TokenRefused("This is no access token.", code="wrong_token_type")
    # A user_id that is not valid is refused, even if there is a sub.
    user_id = _as_user_id(claims["user_id"] if "user_id" in claims else claims.get("sub"))
    return user_id, claims.get("iat")


def _verified_claims(token: str) -> dict[str, Any]:
    try:
        header = jwt.get_unverified_header(token)
        kind = header.get("typ")
        if kind is not None and (not isinstance(kind, str) or kind.lower() not in HEADER_TYPES):
            raise TokenRefused("This is no access token.", code="wrong_token_type")
        key, algorithm = _key(header)
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=settings.JWT_AUDIENCE or None,
            issuer=settings.JWT_ISSUER or None,
            leeway=CLOCK_LEEWAY_SECONDS,
            options={
                "require": ["exp"],
                # Other issuers send integers as sub; _as_user_id checks what matters.
                "verify_sub": False,
                "verify_jti": False,
                # Only what the settings name can be verified.
                "verify_aud": bool(settings.JWT_AUDIENCE),
                "verify_iss": bool(settings.JWT_ISSUER),
            },
        )
    except jwt.ExpiredSignatureError:
        raise TokenRefused("The token has expired.", code="token_expired") from None
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise TokenRefused() from None
    return claims


def _key(header: dict[str, Any]) -> tuple[Any, str]:
    if settings.JWT_JWKS_URL:
        key_id = header.get("kid")
        if not isinstance(key_id, str):
            raise TokenRefused()
        return jwks.find_key(key_id), "RS256"
    return settings.JWT_SIGNING_KEY, "HS256"


def _is_time(claim: object) -> TypeGuard[int | float]:
    # PyJWT also takes "1e9" and 10^30 for a NumericDate.
    return isinstance(claim, int | float) and not isinstance(claim, bool) and 0 < claim < TIME_MAX


def _as_user_id(claim: object) -> str:
    """Return the claim as a user id; an integer becomes decimal text."""
    if isinstance(claim, int) and not isinstance(claim, bool) and 0 <= claim <= INTEGER_MAX:
        return str(claim)
    if (
        not isinstance(claim, str)
        or not 0 < len(claim) <= USER_ID_MAX_CHARACTERS
        or not claim.isprintable()  # so it has no lone surrogate and no NUL either
        or claim != claim.strip()
    ):
        raise TokenRefused("The token names no user.", code="no_user")
    if any(text in claim for text in NOT_IN_USER_IDS):
        raise TokenRefused('The token\'s user id holds "/" or "||".', code="no_user")
    return claim
