"""Issue tokens to the users in Django's database, unless JWT_JWKS_URL names another issuer.

A token names its user by the user name, and carries no privilege. A refresh token ends when its
user's password changes, as a session of Django does: it holds the same hash. Log-out at
the chat page ends its own. Failed logins lock the
pair of user name and address for a while (django-axes).
"""

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate, get_user_model
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from chat.api.authentication import check_not_forgotten
from chat.api.bearer.tokens import time_of
from chat.api.parsing import LoginBody, RefreshBody, read_body
from chat.errors import NotFound, RateLimited, TokenRefused
from chat.models import EndedSession
from common.json_answers import json_response

SESSION_CLAIM = "session"


class TokenAPIView(APIView):
    """A call that gives tokens: anybody may make it, if tokens are issued here."""

    authentication_classes = []
    permission_classes = [AllowAny]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if settings.JWT_JWKS_URL:
            raise NotFound("Tokens are issued elsewhere.", code="tokens_elsewhere")


class TokenView(TokenAPIView):
    """POST {username, password} to log in; the answer is {access, refresh}."""

    http_method_names = ["post"]

    def post(self, request: Request) -> HttpResponse:
        user, refresh = log_in(request._request)
        return json_response({"access": str(AccessToken.for_user(user)), "refresh": refresh})


class RefreshView(TokenAPIView):
    """POST {refresh} for another access token; the answer is {access}."""

    http_method_names = ["post"]

    def post(self, request: Request) -> HttpResponse:
        body = read_body(request._request, RefreshBody)
        return json_response({"access": str(AccessToken.for_user(user_of(body.refresh)))})


def log_in(request: HttpRequest) -> tuple[Any, str]:
    """Return the user whose name and password the body has, and a refresh token.

    Raises:
        TokenRefused: they are wrong.
        RateLimited: too many log-ins with this name from this address have failed.
    """
    user = _authenticate(request, read_body(request, LoginBody))
    return user, refresh_token(user)


def refresh_token(user: Any) -> str:
    """Return a new refresh token of the user, who has shown who they are."""
    refresh = RefreshToken.for_user(user)
    refresh[SESSION_CLAIM] = user.get_session_auth_hash()
    return str(refresh)


def user_of(refresh: str) -> Any:
    """Return the user of a refresh token.

    Raises:
        TokenRefused: it is not valid, or not any more.
    """
    token = _verified(refresh)
    user = get_user_model().objects.filter(username=token["user_id"], is_active=True).first()
    if user is None or EndedSession.objects.filter(token_id=token["jti"]).exists():
        raise TokenRefused()
    if not constant_time_compare(token[SESSION_CLAIM], user.get_session_auth_hash()):
        raise TokenRefused("The password was changed since. Log in again.")
    check_not_forgotten(user.get_username(), time_of(token.get("iat")))
    return user


def log_out(refresh: str) -> None:
    """End a refresh token; one that is not valid has ended."""
    try:
        token = _verified(refresh)
        expires_at = datetime.fromtimestamp(token["exp"], UTC)
    except (TokenRefused, ValueError, OverflowError):
        return
    EndedSession.end(token["jti"], expires_at)


def _verified(refresh: str) -> Any:
    try:
        token: Any = RefreshToken(refresh)  # type: ignore[arg-type]
        claims = [token[name] for name in ("user_id", SESSION_CLAIM, "jti")]
    except (TokenError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise TokenRefused() from None
    if not all(map(_is_printable, claims)):
        raise TokenRefused()
    return token


def _is_printable(claim: object) -> bool:
    # Lone surrogates and NULs are not: the first can't be compared, and PostgreSQL takes neither.
    return isinstance(claim, str) and claim.isprintable()


def _authenticate(request: HttpRequest, body: LoginBody) -> Any:
    user = authenticate(request, username=body.username, password=body.password)
    if getattr(request, "axes_locked_out", False):
        request.axes_locked_out = False  # type: ignore[attr-defined]  # the answer is ours
        raise RateLimited(
            "Too many failed logins. Try again later.",
            code="locked_out",
            retry_after_seconds=int(settings.AXES_COOLOFF_TIME * 3600),
        )
    if user is None:
        raise TokenRefused("The user name or the password is wrong.", code="bad_credentials")
    return user
