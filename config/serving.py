"""What every server process needs, whether it serves config.asgi or config.wsgi.

Importing this module prepares the process; config.asgi and config.wsgi import it first.
"""

import gc
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, cast
from wsgiref.types import StartResponse

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, get_script_name
from django.core.signals import request_started
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import resolve, set_script_prefix

from common.telemetry.request import current
from config.local import death
from config.metrics import shared

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

PARENT_POLL_SECONDS = 0.5
BUSY_SECONDS = 5

access = logging.getLogger("config.access")


def _exit_when_orphaned(master_pid: int) -> None:
    """End this worker when its master is gone, where death.follow could not ask for it.

    granian's workers go on serving after a SIGKILL of their master, with nothing left that could
    restart or stop them.
    """
    while os.getppid() == master_pid:
        time.sleep(PARENT_POLL_SECONDS)
    os._exit(1)


def _import_all() -> None:
    """Import what requests need now, not while the first of them waits."""
    from chat.assistant import prepare_assistant  # needs Django's apps

    resolve("/livez")  # every view
    prepare_assistant()


if (master := multiprocessing.parent_process()) is not None and master.pid is not None:
    # A forked worker has its master's handlers until granian sets its own, after this import: a
    # stop in between would go unheard until the kill timeout.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    death.follow(master.pid)
    threading.Thread(target=_exit_when_orphaned, args=(master.pid,), daemon=True).start()

if settings.METRICS_TOKEN:
    shared.begin(settings.METRICS_DIR)
django.setup(set_prefix=False)

from common.telemetry import metrics  # noqa: E402 - the metrics are made by importing it
from config.errors.answers import error_response  # noqa: E402 - needs Django to be set up
from config.health import report_redis_problems  # noqa: E402
from config.paths import is_api_path  # noqa: E402

metrics.WORKERS.set(1)
report_redis_problems()
_import_all()
gc.collect()
gc.freeze()  # what was loaded stays: collections need not walk through it
# A turn of the chat makes thousands of objects, and leaves few. Looking for cycles after every 700
# of them, as Python does by itself, takes it some 6 % of its time.
gc.set_threshold(20_000, 20, 20)


class Application(WSGIHandler):
    """Django's WSGI application; `respond` is the part of it that knows no start_response."""

    def respond(self, environ: dict[str, Any]) -> HttpResponseBase:
        """Return Django's answer to a request, to be closed when it was sent."""
        set_script_prefix(get_script_name(environ))
        request_started.send(sender=type(self), environ=environ)
        request = self.request_class(environ)
        response = self.get_response(request)
        _note_route_and_user(request)
        response._handler_class = type(self)  # type: ignore[attr-defined]  # closing it says so
        return response

    def __call__(  # type: ignore[override]
        self, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer as a WSGI application does.

        A plain answer is a list of one piece: granian sends that with its length, and anything else
        chunk by chunk, which costs a call a tenth of its time.
        """
        response = self.respond(environ)
        headers, body = on_the_wire(response, environ["REQUEST_METHOD"])
        start_response(f"{response.status_code} {response.reason_phrase}", headers)
        if body is None:
            return cast("StreamingHttpResponse", response)
        response.close()
        return [body]


def on_the_wire(
    response: HttpResponseBase, method: str
) -> tuple[list[tuple[str, str]], bytes | None]:
    """Return the headers of an answer, and its body: None for a stream."""
    headers = list(response.items())
    headers += [("Set-Cookie", c.output(header="")) for c in response.cookies.values()]
    if not isinstance(response, HttpResponse):
        return headers, b"" if method == "HEAD" else None
    content = response.content
    if response.status_code not in (204, 304) and "Content-Length" not in response.headers:
        headers.append(("Content-Length", str(len(content))))
    return headers, b"" if method == "HEAD" else content


def refuse_path(path: str) -> HttpResponse | None:
    """Return a 400 for an API path that is not UTF-8, else None.

    Django replaces bytes that are not by their percent-encoding, so that `%FF` and `%25FF` would
    become one key: they are refused before Django sees them.

    Args:
        path: decoded, each byte as a latin-1 character (WSGI's PATH_INFO).
    """
    if path.isascii() or not is_api_path(path):
        return None
    try:
        path.encode("latin-1").decode()
    except UnicodeError:
        return error_response(400, "invalid_path", "The path must be UTF-8, percent-encoded.")
    return None


def busy(path: str, detail: str) -> HttpResponse:
    """Return a 503: JSON on an API path, else a page."""
    retry = {"Retry-After": str(BUSY_SECONDS)}
    if is_api_path(path):
        return error_response(503, "busy", detail, retry)
    return HttpResponse(render_to_string("busy.html"), status=503, headers=retry)


def _note_route_and_user(request: HttpRequest) -> None:
    facts, match = current(), request.resolver_match
    if facts is None:
        return
    if match is not None:
        facts.route = f"/{match.route}"
    user = getattr(request, "_cached_user", None)  # of a page that asked who it is
    if user is not None and user.is_authenticated:
        facts.user = user.get_username()


def note(environ: Mapping[str, Any], status: int | None, seconds: float) -> None:
    """Count the current request, and log it with ACCESS_LOG.

    Args:
        environ: WSGI's environ of the request.
        status: of the answer; None if the client left before there was one.
        seconds: from its headers to the last of its answer; of a stream under WSGI, to the first.
    """
    request = current()
    if request is None:
        return
    method = environ["REQUEST_METHOD"]
    if settings.METRICS_TOKEN:
        metrics.count_request(method, request.route, status, seconds)
    if settings.ACCESS_LOG:
        milliseconds = round(seconds * 1000, 1)
        access.info(
            *("%s %s %s %s ms", method, request.route or "none", status or "left", milliseconds),
            extra={
                "method": method,
                "route": request.route,
                "status": status,
                "duration_ms": milliseconds,
            },
        )
