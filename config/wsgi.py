"""The WSGI application, for granian and gunicorn."""

import gc
import multiprocessing
import os
import threading
import time
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse

from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import resolve

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

PARENT_POLL_SECONDS = 0.5
ANYBODYS_UPLOADS_AT_ONCE = 2  # in each process, which has four threads or more

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
        return _answer_with_few(environ, start_response)
    return _answer(environ, start_response)


def _answer_with_few(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Answer a few of these at a time, and refuse the others.

    As many stalled uploads as there are threads would stop the server, state calls included.
    """
    if not _anybodys_uploads.acquire(blocking=False):
        busy = error_response(
            503, "busy", "Too many forms are being sent. Try again.", {"Retry-After": "5"}
        )
        return _refuse(start_response, busy)
    try:
        return _answer(environ, start_response)
    finally:
        _anybodys_uploads.release()


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
