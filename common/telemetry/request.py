"""The request that is being answered: its id, and what logs and metrics tell of it.

It is in a context variable, so that each log record of the request, in whatever thread, has its id.
A thread that goes on with a request has to run in a copy of the context.
"""

import itertools
import os
import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.conf import settings

HEADER = "X-Request-ID"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(slots=True)
class Request:
    """What is known of a request so far; "" where nothing is.

    `route` is the template, never the path. `connector` and `user` are who was authenticated.
    """

    request_id: str
    traceparent: str = ""
    route: str = ""
    connector: str = ""
    user: str = ""


_current: ContextVar[Request | None] = ContextVar("request", default=None)


def begin(environ: Mapping[str, Any]) -> Request:
    """Return a new request, which is the current one from now on.

    Its id is that of `X-Request-ID` where a proxy is in front (TRUSTED_PROXY_COUNT), as only that
    can keep strangers from choosing ids. W3C's `traceparent` is taken from anybody.

    Args:
        environ: WSGI's environ.
    """
    request = Request(_given_id(environ) or _new_id(), _traceparent(environ))
    _current.set(request)
    return request


def current() -> Request | None:
    """Return the request that this thread or coroutine works for, if there is one."""
    return _current.get()


def note_caller(*, connector: str = "", user: str = "") -> None:
    """Note who sent the current request, for logs."""
    if request := _current.get():
        request.connector, request.user = connector, user


def onward_headers() -> dict[str, str]:
    """Return the headers by which a server that is called for this request can tell so."""
    request = _current.get()
    if request is None:
        return {}
    headers = {HEADER: request.request_id}
    return headers | ({"traceparent": request.traceparent} if request.traceparent else {})


def _given_id(environ: Mapping[str, Any]) -> str:
    given = environ.get("HTTP_X_REQUEST_ID")
    is_good = given and settings.TRUSTED_PROXY_COUNT and _REQUEST_ID.fullmatch(given)
    return str(given) if is_good else ""


def _traceparent(environ: Mapping[str, Any]) -> str:
    given = environ.get("HTTP_TRACEPARENT")
    return str(given) if given and _TRACEPARENT.fullmatch(given) else ""


# Unique over all processes, at a tenth of what a UUID for each request costs.
_prefix = ""
_numbers = itertools.count(1)


def _new_id() -> str:
    return f"{_prefix}{next(_numbers):x}"


def _choose_prefix() -> None:
    global _prefix
    _prefix = f"{os.urandom(8).hex()}-"


_choose_prefix()
os.register_at_fork(after_in_child=_choose_prefix)
