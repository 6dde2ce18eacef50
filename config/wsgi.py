"""The WSGI application, for gunicorn and others of its kind. `make run` serves config.asgi.

A WSGI server reads a body in the thread that answers it. What is done here against stalled uploads
is little (the two locks below); docs/production.md says which proxy has to stand in front.
"""

import tempfile
import threading
import time
from collections.abc import Iterable
from typing import IO, Any
from wsgiref.types import StartResponse

from django.conf import settings
from django.http import HttpResponse

from common.telemetry.request import HEADER, begin
from config.paths import takes_bodies_of_anybody
from config.serving import Application, busy, note, on_the_wire, refuse_path

ANYBODYS_UPLOADS_AT_ONCE = 2  # in each process, which has four threads or more
UPLOADS_WAIT_SECONDS = 0.1
CHUNK_BYTES = 65_536

_answer = Application()
_anybodys_uploads = threading.BoundedSemaphore(ANYBODYS_UPLOADS_AT_ONCE)


def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Answer by Django, once the body of a form is there."""
    began, status = time.perf_counter(), 0
    request_id = begin(environ).request_id

    def start(line: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
        nonlocal status
        status = int(line[:3])
        return start_response(line, [*headers, (HEADER, request_id)], *exc_info)

    body = _answer_by_path(environ, start)
    note(environ, status, time.perf_counter() - began)
    return body


def _answer_by_path(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    path = environ.get("PATH_INFO", "")
    if refusal := refuse_path(path):
        return _refuse(environ, start_response, refusal)
    has_body = environ.get("CONTENT_LENGTH", "0") not in ("", "0")
    if has_body and takes_bodies_of_anybody(path):
        return _answer_after_body(environ, start_response)
    return _answer(environ, start_response)


def _answer_after_body(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Read the body, of a few requests at a time, and then answer.

    As many stalled uploads as there are threads would stop the server, state calls included.
    """
    if not _anybodys_uploads.acquire(timeout=UPLOADS_WAIT_SECONDS):
        refusal = busy(environ.get("PATH_INFO", ""), "Too many bodies are being sent. Try again.")
        return _refuse(environ, start_response, refusal)
    try:
        length = int(environ["CONTENT_LENGTH"])
        if length > settings.STATE_MAX_IMPORT_BYTES:  # its files are dropped as they come
            return _answer(environ, start_response)
        body = _read_body(environ["wsgi.input"], length)
    finally:
        _anybodys_uploads.release()
    with body:
        return _answer({**environ, "wsgi.input": body}, start_response)


def _read_body(upload: IO[bytes], length: int) -> IO[bytes]:
    """Return what was uploaded, on disk if it is large."""
    body = tempfile.SpooledTemporaryFile(settings.FILE_UPLOAD_MAX_MEMORY_SIZE)  # noqa: SIM115
    while length > 0 and (chunk := upload.read(min(length, CHUNK_BYTES))):
        length -= len(chunk)
        body.write(chunk)
    body.seek(0)
    return body


def _refuse(
    environ: dict[str, Any], start_response: StartResponse, response: HttpResponse
) -> Iterable[bytes]:
    headers, body = on_the_wire(response, environ["REQUEST_METHOD"])
    start_response(f"{response.status_code} {response.reason_phrase}", headers)
    return [body or b""]
