"""The WSGI application, for granian and gunicorn."""

import gc
import multiprocessing
import os
import threading
import time
from collections.abc import Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application
from django.urls import resolve

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

PARENT_POLL_SECONDS = 0.5


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
_import_all()
gc.collect()
gc.freeze()  # what was loaded stays: collections need not walk through it


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Django's application; a plain answer is handed over whole.

    granian sends a list in one piece, with its length, and anything else chunk by chunk, which
    costs a state call a tenth of its time.
    """
    response = _django(environ, start_response)
    if response.streaming:
        return response  # type: ignore[no-any-return]
    content = [response.content]
    response.close()
    return content
