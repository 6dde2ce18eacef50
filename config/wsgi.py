"""The WSGI application, for granian and gunicorn."""

import gc
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Iterable
from typing import IO, Any
from wsgiref.types import StartResponse

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.urls import resolve

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

PARENT_POLL_SECONDS = 0.5
ANYBODYS_UPLOADS_AT_ONCE = 2  # in each process, which has four threads or more
UPLOADS_WAIT_SECONDS = 0.1
CHUNK_BYTES = 65_536

_anybodys_uploads = threading.BoundedSemaphore(ANYBODYS_UPLOADS_AT_ONCE)


def _exit_when_orphaned(master_pid: int) -> None:
    """End this worker when its master is gone.

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
    threading.Thread(target=_exit_when_orphaned, args=(master.pid,), daemon=True).start()

_django = get_wsgi_application()

from config.errors import error_response  # noqa: E402 - needs Django to be set up
from config.health import report_redis_problems  # noqa: E402
from config.paths import is_api_path, takes_bodies_of_anybody  # noqa: E402

report_redis_problems()
_import_all()
gc.collect()
gc.freeze()  # what was loaded stays: collections need not walk through it


def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Django's application, for API paths that are UTF-8.

    Django replaces bytes that are not by their percent-encoding, so that `%FF` and `%25FF` would
    become one key: they are refused before Django sees them.

    A plain answer is handed over whole: granian sends a list in one piece, with its length, and
    anything else chunk by chunk, which costs a state call a tenth of its time.
    """
    path = environ.get("PATH_INFO", "")
    if not path.isascii() and is_api_path(path) and not _is_utf8(path):
        return _refuse(
            start_response,
            error_response(400, "invalid_path", "The path must be UTF-8, percent-encoded."),
        )
    has_body = environ.get("CONTENT_LENGTH", "0") not in ("", "0")
    if has_body and takes_bodies_of_anybody(path):
        return _answer_after_body(environ, start_response)
    return _answer(environ, start_response)


def _answer_after_body(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Read the body, of a few requests at a time, and then answer.

    As many stalled uploads as there are threads would stop the server, state calls included.
    """
    if not _anybodys_uploads.acquire(timeout=UPLOADS_WAIT_SECONDS):
        return _refuse(start_response, _busy(environ))
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


def _busy(environ: dict[str, Any]) -> HttpResponse:
    retry = {"Retry-After": "5"}
    if is_api_path(environ.get("PATH_INFO", "")):
        return error_response(503, "busy", "Too many bodies are being sent. Try again.", retry)
    return HttpResponse(render_to_string("busy.html"), status=503, headers=retry)


def _refuse(start_response: StartResponse, response: HttpResponse) -> Iterable[bytes]:
    start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
    return [response.content]


def _answer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    response = _django(environ, start_response)
    if not isinstance(response, HttpResponse):
        return response
    content = [response.content]
    response.close()
    return content


def _is_utf8(wsgi_text: str) -> bool:
    """Whether the bytes that WSGI carries as latin-1 text are UTF-8."""
    try:
        wsgi_text.encode("latin-1").decode()
    except UnicodeError:
        return False
    return True
