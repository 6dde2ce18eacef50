"""Requests through config.asgi in this process: for tests that ask how it answers, not how fast."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.http import HttpResponse
from django.test import Client

from config.door.pool import Threads
from connector_state.api import waiting
from connector_state.store.scripts import loop
from tests.conftest import CacheWithoutThread

Environ = dict[str, Any]

_one_at_a_time = threading.Lock()  # tests with threads of their own share the loop


def _off_loop(function: Any, *args: Any) -> Any:
    """Call a function as if no loop ran: on one, Django has another connection to the database."""
    running = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        return function(*args)
    finally:
        asyncio._set_running_loop(running)


async def _inline(function: Any, *args: Any) -> Any:
    return _off_loop(function, *args)


@contextmanager
def door_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.Runner]:
    """Let the door work in this thread alone, which holds the test's transaction."""
    monkeypatch.setattr(asyncio, "to_thread", _inline)
    monkeypatch.setattr(Threads, "run", lambda self, *args: _inline(*args))
    monkeypatch.setattr(CacheWithoutThread, "_wake", lambda self: _off_loop(self._work_alone))
    # As Django's own client has it: the test's connection stays open.
    monkeypatch.setattr(waiting, "close_old_connections", lambda: None)
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    with asyncio.Runner() as runner:
        yield runner
        runner.run(loop.close())
    request_started.connect(close_old_connections)


class DoorClient(Client):
    """Django's test client, whose requests go through the door."""

    def __init__(self, runner: asyncio.Runner, **options: Any) -> None:
        super().__init__(**options)
        self.handler = lambda environ: _answer(runner, environ)


def _answer(runner: asyncio.Runner, environ: Environ) -> HttpResponse:
    with _one_at_a_time:
        answer = runner.run(serve(scope_of(environ), environ["wsgi.input"]))
    return response_of(environ, *answer)


def response_of(
    environ: Environ, status: int, headers: list[tuple[str, str]], body: bytes
) -> HttpResponse:
    """Return an answer as Django's test client hands it to a test."""
    response = HttpResponse(body, status=status)
    del response.headers["Content-Type"]
    for name, value in headers:
        response.headers[name] = value
    response.wsgi_request = WSGIRequest(environ)
    return response


def headers_of(environ: Environ) -> dict[str, str]:
    """Return the headers of a request as they are sent, by name in lower case."""
    names = {name: name.removeprefix("HTTP_") for name in environ if name.startswith("HTTP_")}
    names |= {name: name for name in ("CONTENT_LENGTH", "CONTENT_TYPE") if environ.get(name)}
    return {sent.lower().replace("_", "-"): str(environ[name]) for name, sent in names.items()}


def scope_of(environ: Environ) -> dict[str, Any]:
    """Return ASGI's scope of a request that a WSGI server would hand over so."""
    return {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": environ["REQUEST_METHOD"],
        "raw_path": quote(environ["PATH_INFO"].encode("latin-1"), safe="/").encode(),
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "server": ("testserver", 80),
        "client": (environ.get("REMOTE_ADDR", "127.0.0.1"), 12345),
        "headers": [
            (name.encode(), value.encode("latin-1")) for name, value in headers_of(environ).items()
        ],
    }


async def serve(scope: dict[str, Any], body: Any) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return status, headers and body of the door's answer; `body` is a file."""
    from config.asgi import application

    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        length = dict(scope["headers"]).get(b"content-length", b"0").lstrip(b"0") or b"0"
        return {
            "type": "http.request",
            "body": _off_loop(body.read, int(length)),
            "more_body": False,
        }

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    headers = [(name.decode(), value.decode("latin-1")) for name, value in sent[0]["headers"]]
    return sent[0]["status"], headers, b"".join(message["body"] for message in sent[1:])
