"""Django's test client over real sockets, to a real server that has the stores of the tests."""

import os
import socket
from functools import partial
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from django.db import connections
from django.http import HttpResponse
from django.test import Client

from tests import servers
from tests.door import headers_of, response_of

START = {"by granian": servers.granian, "by gunicorn": servers.gunicorn}


class RealServers:
    """A server of each kind, from its first use until `stop`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: dict[str, servers.Server] = {}

    def __getitem__(self, kind: str) -> servers.Server:
        if kind not in self._started:
            folder = self._folder / kind.split()[1]
            folder.mkdir()
            environ = {"DATA_DIR": str(folder), "DATABASE_URL": _database_url()}
            self._started[kind] = START[kind](environ, folder / "log", workers=1)
        return self._started[kind]

    def stop(self) -> None:
        """Stop them, which makes them write what they have counted."""
        for server in self._started.values():
            server.stop()
        self._started.clear()


def _database_url() -> str:
    """Return the URL of the tests' database, which stands beside that of the settings."""
    name = Path(connections["default"].settings_dict["NAME"]).name
    return f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{name}"


class RealClient(Client):
    """Sends each request on a connection of its own, its target as the test wrote it."""

    def __init__(self, server: servers.Server, **options: Any) -> None:
        super().__init__(**options)
        self.handler = partial(_exchange, server.port)

    def generic(self, method: str, path: str, *args: Any, **options: Any) -> Any:
        return super().generic(method, path, *args, RAW_URI=path, **options)


def _exchange(port: int, environ: dict[str, Any]) -> HttpResponse:
    method, target = environ["REQUEST_METHOD"], environ["RAW_URI"]
    if "?" not in target and environ["QUERY_STRING"]:
        target += f"?{environ['QUERY_STRING']}"
    headers = {"host": "testserver", **headers_of(environ)}
    body = environ["wsgi.input"].read(int(headers.get("content-length", 0)))
    if "transfer-encoding" in headers:
        del headers["content-length"]
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    lines = [f"{method} {target} HTTP/1.1", *map(": ".join, headers.items()), "", ""]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as peer:
        peer.sendall("\r\n".join(lines).encode("latin-1") + body)
        answer = HTTPResponse(peer, method=method)
        answer.begin()
        content = answer.read()
    kept = [(name, value) for name, value in answer.getheaders() if name.lower() != "date"]
    return response_of(environ, answer.status, kept, content)
