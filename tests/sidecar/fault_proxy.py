"""A proxy before a real sidecar, for what a healthy one never answers.

    with FaultProxy(sidecar.url) as proxy:         # proxy.url goes into DAPR_HTTP_ENDPOINT
        proxy.fail("false-conflict", method="POST")          # the next POST only
        proxy.fail("delay", times=None, seconds=30)          # every request, until clear()
        ...
        proxy.clear()
        assert proxy.count("POST") == 2

Faults (the write is what the real sidecar does with the request):
    false-conflict     the write is done; 409 is answered
    conflict           nothing is done; 409
    error-after-write  the write is done; 500
    error              nothing is done; 500
    refuse             nothing is done; 400, as for content that the store won't take
    garbage            done; 200 with the real headers (ETag too) and `body` for a body
    html               nothing is done; 200 with a web page, as a captive proxy does
    drip               done; the real answer, its body a byte every `seconds`
    drip-headers       done; an endless header, a byte every `seconds`
    cut-after-write    done; the connection is closed without an answer
    cut-before-write   nothing is done; the connection is closed without an answer
    cut-in-body        done; the connection is closed in the middle of the answer's body
    delay              after `seconds`, done and answered (never, if the proxy stops before)
    delay-after-write  done; answered after `seconds`

`then` of a fault is called (in the proxy's thread) after the write and before the answer, or in
the write's place: kill the sidecar there, or the process under test. "none" with a `then` only
calls it. Faults are used up in the order in which they were added; requests that match none go
through unharmed.
"""

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

UNDONE = {"conflict", "error", "refuse", "html", "cut-before-write"}
DONE = {
    *("false-conflict", "error-after-write", "garbage", "drip", "cut-after-write", "cut-in-body"),
    *("delay", "delay-after-write", "drip-headers", "none"),
}
STATUS = {"false-conflict": 409, "conflict": 409, "error-after-write": 500, "error": 500}
HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclass
class Fault:
    """What happens to requests of a method (None: any), `times` times (None: always)."""

    kind: str
    method: str | None
    times: int | None
    seconds: float
    body: bytes
    then: Callable[[], None] | None
    over_bytes: int = -1


@dataclass
class Answer:
    """An answer of the sidecar."""

    status: int
    headers: dict[str, str]
    body: bytes


class FaultProxy:
    """Forwards to the upstream URL, and does harm as told. Safe to use from any thread."""

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self._faults: list[Fault] = []
        self._requests: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self.stopping = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def fail(
        self,
        kind: str,
        *,
        method: str | None = None,
        times: int | None = 1,
        seconds: float = 1.0,
        body: bytes = b'{"conversation_id": ',
        then: Callable[[], None] | None = None,
        over_bytes: int = -1,
    ) -> None:
        """Let a fault happen to the next requests of the method, with bodies of more bytes."""
        assert kind in UNDONE | DONE, kind
        with self._lock:
            self._faults.append(Fault(kind, method, times, seconds, body, then, over_bytes))

    def clear(self) -> None:
        """Forget the faults that have not happened yet."""
        with self._lock:
            self._faults.clear()

    def count(self, method: str) -> int:
        """How many requests of this method came, since the start or forget_requests."""
        with self._lock:
            return sum(1 for seen, _ in self._requests if seen == method)

    def forget_requests(self) -> None:
        """Count from 0 again."""
        with self._lock:
            self._requests.clear()

    def take_fault(self, method: str, path: str, body_bytes: int) -> Fault:
        """Note a request, and use up the fault that it shall meet."""
        with self._lock:
            self._requests.append((method, path))
            for fault in self._faults:
                if fault.method in {None, method} and body_bytes > fault.over_bytes:
                    if fault.times is not None:
                        fault.times -= 1
                        if fault.times <= 0:
                            self._faults.remove(fault)
                    return fault
        return Fault("none", None, None, 0, b"", None)

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Let the sidecar do it."""
        connection = http.client.HTTPConnection(
            self._upstream.hostname or "", self._upstream.port, timeout=60
        )
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            kept = {k: v for k, v in response.getheaders() if k.lower() not in HOP_BY_HOP}
            return Answer(response.status, kept, response.read())
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or a sidecar that is gone: both are what tests do."""


def _handler(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            self._handle()

        do_POST = do_DELETE = do_PUT = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = proxy.take_fault(self.command, self.path, len(body))
            if fault.kind == "delay" and proxy.stopping.wait(fault.seconds):
                return self._cut()
            answer = self._undone(fault) if fault.kind in UNDONE else self._forward(body)
            if fault.then is not None:
                fault.then()
            if answer is None or fault.kind in {"cut-after-write", "cut-before-write"}:
                return self._cut()
            if fault.kind == "delay-after-write":
                proxy.stopping.wait(fault.seconds)
            if fault.kind in STATUS:
                answer = _error(STATUS[fault.kind])
            if fault.kind == "garbage":
                answer = Answer(200, answer.headers, fault.body)
            return self._answer(answer, fault)

        def _forward(self, body: bytes) -> Answer | None:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
            try:
                return proxy.forward(self.command, self.path, headers, body)
            except (OSError, http.client.HTTPException):
                return None  # the sidecar is gone; so is this connection

        def _undone(self, fault: Fault) -> Answer:
            if fault.kind == "html":
                return Answer(
                    200, {"Content-Type": "text/html", "ETag": '"1"'}, b"<h1>Welcome</h1>"
                )
            return _error(STATUS.get(fault.kind, 400))

        def _drip(self, text: bytes, seconds: float) -> None:
            for byte in text:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                if proxy.stopping.wait(seconds):
                    break

        def _answer(self, answer: Answer, fault: Fault) -> None:
            if fault.kind == "drip-headers":
                self._drip(b"HTTP/1.1 200 OK\r\nETag: " + b"1" * 10_000, fault.seconds)
                return self._cut()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in {"date", "server"}:
                    self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if fault.kind == "drip":
                self._drip(answer.body, fault.seconds)
            elif fault.kind == "cut-in-body":
                self.wfile.write(answer.body[: len(answer.body) // 2])
                self.wfile.flush()
                self._cut()
            else:
                self.wfile.write(answer.body)
            return None

        def _cut(self) -> None:
            self.close_connection = True

    return Handler


def _error(status: int) -> Answer:
    codes = {400: "ERR_MALFORMED_REQUEST", 409: "ERR_STATE_SAVE", 500: "ERR_STATE_SAVE"}
    body = b'{"errorCode":"%s","message":"from the fault proxy"}' % codes[status].encode()
    return Answer(status, {"Content-Type": "application/json"}, body)
