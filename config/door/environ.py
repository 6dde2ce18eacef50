"""A request as ASGI hands it over, in the form in which both of Django's paths take it: WSGI's."""

import sys
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

Scope = dict[str, Any]


def environ_of(scope: Scope) -> dict[str, Any]:
    """Return WSGI's environ (PEP 3333), without a body.

    PATH_INFO is made of the raw path: of `%FF` ASGI's own `path` leaves nothing to tell it by.
    RAW_URI is the target as it was sent, under gunicorn's name for it; an empty query is lost.
    Headers with an underscore are dropped, as they would pass for those with a hyphen.
    """
    path, query = scope["raw_path"], scope["query_string"]
    environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "RAW_URI": (path + b"?" + query if query else path).decode("latin-1"),
        "SERVER_PROTOCOL": "HTTP/" + scope["http_version"],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    server, port = scope.get("server") or ("localhost", 0)
    environ["SERVER_NAME"], environ["SERVER_PORT"] = server, str(port or 0)
    environ["REMOTE_ADDR"] = (scope.get("client") or ("",))[0]  # none on a unix socket
    for raw_name, raw_value in scope["headers"]:
        name = _environ_name(raw_name)
        if name is None:
            continue
        value = raw_value.decode("latin-1")
        environ[name] = f"{environ[name]},{value}" if name in environ else value
    return environ


@lru_cache(maxsize=256)
def _environ_name(header: bytes) -> str | None:
    if b"_" in header:
        return None
    name = header.decode("latin-1").upper().replace("-", "_")
    return name if name in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{name}"
