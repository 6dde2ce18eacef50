"""The product's routes and some more, for tests of the bridge."""

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from config.urls import handler400, handler403, handler404, handler500
from config.urls import urlpatterns as product

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]


def events(request: HttpRequest) -> StreamingHttpResponse:
    """Events without end; a mark is left in a file when they end."""

    def make() -> Iterator[str]:
        try:
            while True:
                yield "data: x\n\n"
                time.sleep(0.05)
        finally:
            Path(request.GET["mark"]).write_text("ended")

    return StreamingHttpResponse(make(), content_type="text/event-stream")


def flood(request: HttpRequest) -> StreamingHttpResponse:
    """More events than a connection takes if nobody reads; a mark is left when they end."""
    from config.door import pool

    pool.EVENT_SECONDS_MAX = 1.0  # what a test can wait for

    def make() -> Iterator[bytes]:
        try:
            while True:
                yield b"data: %b\n\n" % (b"x" * 1_000_000)
        finally:
            Path(request.GET["mark"]).write_text("ended")

    return StreamingHttpResponse(make(), content_type="text/event-stream")


def silent(request: HttpRequest) -> StreamingHttpResponse:
    """One event, and then a silence longer than any patience."""

    def make() -> Iterator[str]:
        yield "data: x\n\n"
        time.sleep(600)

    return StreamingHttpResponse(make(), content_type="text/event-stream")


def export(request: HttpRequest) -> StreamingHttpResponse:
    """A file in pieces: the second is made when the file `go` is there."""

    def make() -> Iterator[bytes]:
        yield b"first\n"
        while not Path(request.GET["go"]).exists():
            time.sleep(0.01)
        yield b"last\n"

    return StreamingHttpResponse(make(), content_type="application/x-ndjson")


@csrf_exempt
def echo(request: HttpRequest) -> JsonResponse:
    """What came in."""
    digest = hashlib.sha256(request.body).hexdigest()
    length = request.META.get("CONTENT_LENGTH")
    return JsonResponse({"method": request.method, "sha256": digest, "length": length})


def database(request: HttpRequest) -> JsonResponse:
    """Which connection to the database this thread has."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"connection": id(connection.connection), "thread": threading.get_ident()})


def slow(request: HttpRequest) -> HttpResponse:
    """An answer that takes some seconds."""
    Path(request.GET["mark"]).write_text("begun")
    time.sleep(int(request.GET["seconds"]))
    return HttpResponse("done")


VIEWS = (events, flood, silent, export, echo, database, slow)
urlpatterns = [*(path(f"test/{view.__name__}", view) for view in VIEWS), *product]
