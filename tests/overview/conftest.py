"""Each test meets stores that answer, and nothing of an outage before."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from chat.assistant import reachable
from chat.repository import forget_repositories
from tests.servers import wait_until


@pytest.fixture(autouse=True)
def _fresh_stores_of_chat(monkeypatch):
    forget_repositories()
    monkeypatch.setattr(reachable, "_good", {})
    yield
    forget_repositories()
    # Probes of frozen stores, which the next test would join, end with their timeouts.
    wait_until(lambda: not any("_run" in thread.name for thread in threading.enumerate()))


@pytest.fixture
def httpserver_of():
    """Starts a server that gives one answer to all, and returns its URL and what it was asked."""
    servers = []

    def start(status: int, body: object) -> tuple[str, list[tuple[str, str]]]:
        asked: list[tuple[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                asked.append((self.path, self.headers["Authorization"]))
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                """Nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/v1", asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
