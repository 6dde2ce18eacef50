"""Issue tokens to the users in Django's database, unless JWT_JWKS_URL names another issuer.

A token names its user by the user name, and carries no privilege. A refresh token ends when its
user's password changes, as a session of Django does: it holds the same hash. Failed logins lock the
pair of user name and address for a while (django-axes).
"""

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
from common.json_answers import json_response

SESSION_CLAIM = "session"


class _TokenView(APIView):
    authentication_classes = []
    permission_classes = [AllowAny]
    http_method_names = ["post"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if settings.JWT_JWKS_URL:
            raise NotFound("Tokens are issued elsewhere.", code="tokens_elsewhere")


class TokenView(_TokenView):
    """POST {username, password} to log in; the answer is {access, refresh}."""

    def post(self, request: Request) -> HttpResponse:
        body = read_body(request._request, LoginBody)
        user = _log_in(request._request, body)
        refresh = RefreshToken.for_user(user)
        refresh[SESSION_CLAIM] = user.get_session_auth_hash()
        return json_response({"access": str(AccessToken.for_user(user)), "refresh": str(refresh)})


class RefreshView(_TokenView):
    """POST {refresh} for another access token; the answer is {access}."""

    def post(self, request: Request) -> HttpResponse:
        body = read_body(request._request, RefreshBody)
        try:
            token: Any = RefreshToken(body.refresh)  # type: ignore[arg-type]
            username, session = token["user_id"], token[SESSION_CLAIM]
        except (TokenError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
            raise TokenRefused() from None
        if not (_is_printable(username) and _is_printable(session)):
            raise TokenRefused()
        user = get_user_model().objects.filter(username=username, is_active=True).first()
        if user is None:
            raise TokenRefused()
        if not constant_time_compare(session, user.get_session_auth_hash()):
            raise TokenRefused("The password was changed since. Log in again.")
        check_not_forgotten(username, time_of(token.get("iat")))
        return json_response({"access": str(AccessToken.for_user(user))})


def _is_printable(claim: object) -> bool:
    # Lone surrogates and NULs are not: the first can't be compared, and PostgreSQL takes neither.
    return isinstance(claim, str) and claim.isprintable()


def _log_in(request: HttpRequest, body: LoginBody) -> Any:
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
