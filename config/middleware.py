"""What an API path skips, and what runs on the door's loop.

An API call uses no session, cookie, message or static file. Leaving those middlewares out saves a
state call a tenth of its time, and keeps cookies from meaning anything on an API path.

The loop answers value calls and health alone: what is for pages or chats is not used there. What is
for all paths has to be asynchronous without a thread, which takes a value call from .19 to .6 ms.
"""

from collections.abc import Callable
from typing import Any

import whitenoise.middleware
from asgiref.sync import iscoroutinefunction
from axes.middleware import AxesMiddleware as Axes
from corsheaders.middleware import CorsMiddleware
from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.http.response import HttpResponseBase
from django.middleware import clickjacking, common, csrf, security
from django.utils.deprecation import MiddlewareMixin

from config.paths import is_api_path

GetResponse = Callable[[HttpRequest], HttpResponseBase]


def _leave_the_loop(get_response: GetResponse) -> None:
    """Take a middleware out of the loop's chain, where it has nothing to do."""
    if iscoroutinefunction(get_response):
        raise MiddlewareNotUsed("the loop answers neither pages nor chats")


class ChatCorsMiddleware(CorsMiddleware):
    """CORS on the chat's paths; a state call passes it by without its cost."""

    def __init__(self, get_response: GetResponse) -> None:
        _leave_the_loop(get_response)
        super().__init__(get_response)

    def __call__(self, request: HttpRequest) -> Any:
        """Run on the chat's paths alone."""
        if not request.path_info.startswith("/api/"):
            return self.get_response(request)
        return super().__call__(request)


class SecurityMiddleware(security.SecurityMiddleware):
    """HTTPS, and headers for browsers. Django would run both of its halves in threads."""

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """Run them here: neither waits for anything."""
        get_response: Any = self.get_response
        response = self.process_request(request) or await get_response(request)
        return self.process_response(request, response)


class PagesOnly:
    """Mixed into a middleware: API paths pass it by, and those further in as well.

    Of a row of such middlewares the outermost hands an API request straight to what stands behind
    the innermost. (Django wraps each one in a function, which takes over its attributes.)
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        _leave_the_loop(get_response)
        super().__init__(get_response)  # type: ignore[call-arg]
        self.behind_pages: GetResponse = getattr(get_response, "behind_pages", get_response)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Run the middleware on pages alone."""
        if is_api_path(request.path_info):
            return self.behind_pages(request)
        response: HttpResponseBase = super().__call__(request)  # type: ignore[misc]
        return response


class WhiteNoiseMiddleware(PagesOnly, whitenoise.middleware.WhiteNoiseMiddleware):  # type: ignore[misc]
    """Static files."""


class SessionMiddleware(PagesOnly, sessions.SessionMiddleware):
    """Sessions."""


class CommonMiddleware(PagesOnly, common.CommonMiddleware):
    """Allowed hosts and trailing slashes."""


class CsrfViewMiddleware(PagesOnly, csrf.CsrfViewMiddleware):
    """CSRF tokens, for pages: API paths read no cookie."""

    def process_view(self, request: HttpRequest, *args: Any) -> HttpResponseForbidden | None:
        """Django calls this one directly, also for what passed __call__ by."""
        if is_api_path(request.path_info):
            return None
        return super().process_view(request, *args)


class AuthenticationMiddleware(PagesOnly, auth.AuthenticationMiddleware):
    """request.user."""


class MessageMiddleware(PagesOnly, messages.MessageMiddleware):
    """One-time messages."""


class XFrameOptionsMiddleware(PagesOnly, clickjacking.XFrameOptionsMiddleware):
    """No framing."""


class AxesMiddleware(PagesOnly, Axes):  # type: ignore[misc]
    """The page of who is locked out; an API has its own answer."""


class _ContentSecurityPolicy(MiddlewareMixin):
    policy = (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    )

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response.headers.setdefault("Content-Security-Policy", self.policy)
        return response


class ContentSecurityPolicyMiddleware(PagesOnly, _ContentSecurityPolicy):
    """Nothing but our own files may run or load on a page (admin needs no inline script)."""
