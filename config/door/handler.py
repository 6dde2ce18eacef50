"""Django on the loop: its middleware, routes, views and errors, without a thread or a signal.

Django's own ASGIHandler costs a value call four times as much: it sends its signals and every
synchronous middleware through threads, each with a database connection, and watches for a client
that leaves, of which a call of a millisecond has no use.
"""

import asyncio
import io
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, ResolverMatch, get_resolver
from django.utils.log import log_response
from django.utils.module_loading import import_string

from common.telemetry.request import current
from config import health
from config.metrics import scrape
from config.paths import CONNECTORS_PREFIX, HEALTH_PREFIXES, STATE_PREFIX
from connector_state.api import urls

HEALTH = (health.livez, health.readyz, scrape.metrics)
WAITING = HEALTH[1:]  # they ask stores, in a thread that no chat holds
LOOP_PREFIXES = (STATE_PREFIX, *HEALTH_PREFIXES)
VALUE_ROUTE = f"{CONNECTORS_PREFIX.removeprefix('/')}{urls.value.pattern}"

_NOTHING = io.BytesIO()


class LoopRequest(WSGIRequest):
    """A request on the loop, whose route is known and whose body comes when its view asks."""

    def __init__(
        self,
        environ: dict[str, Any],
        match: ResolverMatch,
        receive_body: Callable[[], Awaitable[bytes]],
    ) -> None:
        environ["wsgi.input"] = _NOTHING
        super().__init__(environ)
        self.resolver_match = match
        self.receive_body = receive_body
        self._body = b""


class LoopHandler(BaseHandler):
    """Answers value calls and health."""

    # What Django's load_middleware sets.
    _middleware_chain: Callable[[HttpRequest], Awaitable[HttpResponse]]
    _view_middleware: list[Any]
    _exception_middleware: list[Any]

    def __init__(self) -> None:
        super().__init__()
        for name in settings.MIDDLEWARE:
            if not getattr(import_string(name), "async_capable", False):
                raise ImproperlyConfigured(f"{name} would send each call through a thread")
        self.load_middleware(is_async=True)
        if self._view_middleware or self._exception_middleware:
            raise ImproperlyConfigured("process_view and process_exception don't run on the loop")

    def match(self, environ: dict[str, Any]) -> ResolverMatch | None:
        """Return the route of what is answered here, None for what the pool answers."""
        path = environ["PATH_INFO"]
        if not path.startswith(LOOP_PREFIXES):
            return None
        path = path.encode("latin-1").decode()
        # Nearly all are values: by way of the other routes finding theirs takes thrice as long.
        if match := urls.value.resolve(path.removeprefix(CONNECTORS_PREFIX)):
            match.route = VALUE_ROUTE
        else:
            try:
                match = get_resolver().resolve(path)
            except Resolver404:
                return None
        view: Any = match.func
        is_ours = view in HEALTH or environ["REQUEST_METHOD"].upper() in view.cls.on_loop
        return match if is_ours else None

    async def respond(self, request: LoopRequest) -> HttpResponse:
        """Return Django's answer."""
        if facts := current():
            assert request.resolver_match is not None
            facts.route = f"/{request.resolver_match.route}"
        response = await self._middleware_chain(request)
        if response.status_code >= 400:
            log_response(
                "%s: %s", response.reason_phrase, request.path, response=response, request=request
            )
        return response

    async def _get_response_async(self, request: HttpRequest) -> Any:
        assert request.resolver_match is not None
        view, args, kwargs = request.resolver_match
        if view in WAITING:
            return await asyncio.to_thread(view, request)
        response = view(request, *args, **kwargs)
        return await response if isawaitable(response) else response
