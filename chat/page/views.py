"""The chat page, and the one view that reads its cookie.

Access tokens live in the page's memory. The refresh token is a cookie that no script can read, and
that goes to SessionView alone; that view gives out access tokens, and authenticates nothing else.
"""

import logging
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.generic import View
from rest_framework.request import Request
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from chat.api.token_views import TokenAPIView, log_in, log_out, user_of
from chat.errors import Forbidden, TokenRefused
from common.json_answers import json_response, no_content

logger = logging.getLogger(__name__)

COOKIE = "chat_refresh"

OTHER_ORIGIN = (
    "This call is for the chat page alone. If you are on it, the proxy has to pass on Host and "
    "X-Forwarded-Proto, or CSRF_TRUSTED_ORIGINS has to name the page's origin."
)

# Scripts of this service alone, and none made of text: no sink of the DOM takes a string.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    # A browser would look up the hosts of links that a model wrote.
    "X-DNS-Prefetch-Control": "off",
}


class ChatPageView(View):
    """The shell of the page. It holds nothing of any user."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """Return it; a 404 that says why, where another server issues the tokens."""
        if settings.JWT_JWKS_URL:
            return render(request, "chat/off.html", status=404)
        return HttpResponse(render_to_string("chat/page.html"), headers=HEADERS)


class SessionView(TokenAPIView):
    """The session of a browser: log in, get an access token, log out.

    The Origin is checked each time: to SameSite, pages of other ports and subdomains are the same
    site, and a log-in that another page sends would have people chat as somebody else.
    """

    http_method_names = ["post", "patch", "delete"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if (request.method or "").lower() not in self.http_method_names:
            return  # which is a 405 for everybody
        origin = request.headers.get("Origin")
        own = f"{request.scheme}://{request.get_host()}"
        if origin is None or origin not in (own, *settings.CSRF_TRUSTED_ORIGINS):
            logger.warning("a log-in of the chat page from the origin %.200r was refused", origin)
            raise Forbidden(OTHER_ORIGIN, code="other_origin")

    def post(self, request: Request) -> HttpResponse:
        """Log in with {username, password}."""
        user, refresh = log_in(request._request)
        response = _access(user)
        response.set_cookie(
            COOKIE,
            refresh,
            max_age=RefreshToken.lifetime,
            path=reverse("chat_session"),
            secure=settings.SESSION_COOKIE_SECURE or request.is_secure(),
            httponly=True,
            samesite="Strict",
        )
        return response

    def patch(self, request: Request) -> HttpResponse:
        """Give another access token."""
        refresh = request.COOKIES.get(COOKIE, "")
        if not refresh:
            raise TokenRefused("Nobody is logged in.", code="not_authenticated")
        return _access(user_of(refresh))

    def delete(self, request: Request) -> HttpResponse:
        """Log out: end the refresh token, and remove the cookie."""
        log_out(request.COOKIES.get(COOKIE, ""))
        response = no_content()
        response.delete_cookie(COOKIE, path=reverse("chat_session"), samesite="Strict")
        return response


def _access(user: Any) -> HttpResponse:
    return json_response({"access": str(AccessToken.for_user(user)), "user": user.get_username()})
