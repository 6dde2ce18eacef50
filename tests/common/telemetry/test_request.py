"""Whose id a request has, and where it goes."""

import asyncio
import logging
import threading
import time
from contextvars import ContextVar
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from chat import following
from chat.repository.transport import Transport
from common.telemetry import request
from common.telemetry.request import begin, current, onward_headers
from config.door.pool import Threads
from config.logs import LineFormatter, OfRequest

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def in_a_context_of_its_own(monkeypatch):
    """No test leaves a request behind."""
    monkeypatch.setattr(request, "_current", ContextVar("request", default=None))


@pytest.mark.parametrize("given", ["a", "A-z_0.9", "x" * 64])
def test_id__is_the_proxys(settings, given):
    settings.TRUSTED_PROXY_COUNT = 1
    assert begin({"HTTP_X_REQUEST_ID": given}).request_id == given


@pytest.mark.parametrize(
    ("given", "proxies"), [("mine", 0), ("x" * 65, 1), ("a,b", 1), ("a\nb", 1), ("a\n", 1), ("", 1)]
)
def test_id__of_anybody_else_is_made(settings, given, proxies):
    settings.TRUSTED_PROXY_COUNT = proxies
    made = [begin({"HTTP_X_REQUEST_ID": given}).request_id for _ in range(3)]
    assert len({*made, given}) == 4


def test_traceparent__is_passed_on_if_it_is_one():
    begin({"HTTP_TRACEPARENT": TRACEPARENT})
    assert onward_headers()["traceparent"] == TRACEPARENT
    begin({"HTTP_TRACEPARENT": TRACEPARENT + "\r\nx: y"})
    assert list(onward_headers()) == ["X-Request-ID"]


def test_threads__of_the_pool_work_for_the_request_that_asked():
    async def ask():
        begun = begin({})
        return begun is await threads.run(current)

    async def both():
        return await asyncio.gather(ask(), ask())

    threads = Threads(2)
    assert asyncio.run(both()) == [True, True]


def test_turn__in_a_thread_of_its_own_works_for_the_request_that_began_it(monkeypatch):
    worked_for = []
    accepted = SimpleNamespace(is_answered=False, turn=None)
    monkeypatch.setattr(following, "accept", lambda asked: accepted)
    monkeypatch.setattr(following, "Words", lambda turn, is_followed: None)

    def answer(*args):
        worked_for.append(current())
        yield from ()

    monkeypatch.setattr(following, "_answer", answer)
    begun = begin({})
    following.follow(None).turn_is_over.result(10)
    assert worked_for == [begun]


def test_log__names_the_request():
    begun = begin({})
    record = logging.LogRecord("n", logging.INFO, "f", 1, "text", None, None)
    assert OfRequest().filter(record)
    assert LineFormatter().format(record).endswith(f"INFO n text [request {begun.request_id}]")


def test_sidecar__is_told_which_request_calls():
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            received.append(self.headers)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        sidecar = Transport(f"http://127.0.0.1:{server.server_port}", "", 5, 10)
        sidecar.get("/v1.0/state/s/k", time.monotonic() + 10)
        begun = begin({"HTTP_TRACEPARENT": TRACEPARENT})
        sidecar.get("/v1.0/state/s/k", time.monotonic() + 10)
        server.shutdown()
        thread.join(10)
    names = ("X-Request-ID", "traceparent")
    assert [[headers[name] for name in names] for headers in received] == [
        [None, None],
        [begun.request_id, TRACEPARENT],
    ]
