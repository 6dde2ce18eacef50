"""Middlewares that API paths skip, and that the door's loop can run.

An API call needs no session, cookie, message or static file. Skipping their middlewares saves a
state call a tenth of its time, and makes sure that cookies mean nothing on an API path.

The loop answers only value calls and health, so it drops what is for pages or chats. What is for
all paths has to be asynchronous: a thread would take a value call from .19 to .6 ms.
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

from config.paths import CHAT_PREFIX, is_api_path

GetResponse = Callable[[HttpRequest], HttpResponseBase]


def _leave_the_loop(get_response: GetResponse) -> None:
    """Take a middleware out of the loop's chain, where it has nothing to do."""
    if iscoroutinefunction(get_response):
        raise MiddlewareNotUsed("the loop answers neither pages nor chats")


class ChatCorsMiddleware(CorsMiddleware):
    """CORS for the paths of the chat; other paths skip it."""

    def __init__(self, get_response: GetResponse) -> None:
        _leave_the_loop(get_response)
        super().__init__(get_response)

    def __call__(self, request: HttpRequest) -> Any:
        if not request.path_info.startswith(CHAT_PREFIX):
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
    """A mixin for middlewares that run for pages and not on API paths.

    Of a row of such middlewares the outermost one passes an API request on to whatever follows the
    innermost, so the row costs one check. (Django wraps each middleware in a function that copies
    its attributes, so `behind_pages` is found there.)
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        _leave_the_loop(get_response)
        super().__init__(get_response)  # type: ignore[call-arg]
        self.behind_pages: GetResponse = getattr(get_response, "behind_pages", get_response)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if is_api_path(request.path_info):
            return self.behind_pages(request)
        response: HttpResponseBase = super().__call__(request)  # type: ignore[misc]
        return response


def _for_pages(middleware: type[Any]) -> type[Any]:
    return type(middleware.__name__, (PagesOnly, middleware), {"__module__": __name__})


class _WhiteNoise(whitenoise.middleware.WhiteNoiseMiddleware):  # type: ignore[misc]
    def add_files(self, root: Any, prefix: Any = None) -> None:
        """Add none of STATIC_ROOT: they are served from where they are, collected or not."""


WhiteNoiseMiddleware = _for_pages(_WhiteNoise)
SessionMiddleware = _for_pages(sessions.SessionMiddleware)
CommonMiddleware = _for_pages(common.CommonMiddleware)
AuthenticationMiddleware = _for_pages(auth.AuthenticationMiddleware)
MessageMiddleware = _for_pages(messages.MessageMiddleware)
XFrameOptionsMiddleware = _for_pages(clickjacking.XFrameOptionsMiddleware)
AxesMiddleware = _for_pages(Axes)  # it shows who is locked out a page; an API has its own answer


class CsrfViewMiddleware(PagesOnly, csrf.CsrfViewMiddleware):
    """Protection of pages from forged forms. API paths read no cookie and need none."""

    def process_view(self, request: HttpRequest, *args: Any) -> HttpResponseForbidden | None:
        # Django calls this for every request, whatever __call__ does.
        if is_api_path(request.path_info):
            return None
        return super().process_view(request, *args)


class _ContentSecurityPolicy(MiddlewareMixin):
    policy = (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    )

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response.headers.setdefault("Content-Security-Policy", self.policy)
        return response


# Admin needs no inline script, so a page may run and load only files of this service.
ContentSecurityPolicyMiddleware = _for_pages(_ContentSecurityPolicy)
