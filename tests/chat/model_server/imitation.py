"""A model's server as real ones are: sloppy in what it sends, strict in what it takes."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]

MILK = {"title": "milk"}


def said(content: Any = "Done.", **more: Any) -> Json:
    """An answer with text."""
    return {"choices": [{"message": {"role": "assistant", "content": content, **more}}]}


def called(*calls: Json, content: Any = None) -> Json:
    """An answer with tool calls."""
    return said(content, tool_calls=list(calls))


def call(name: str = "add_task", arguments: Any = json.dumps(MILK), **more: Any) -> Json:
    """A tool call as the protocol has it, but for what is given."""
    function = {"name": name, "arguments": arguments}
    return {"id": "call_abc", "type": "function", "function": function, **more}


@dataclass(frozen=True)
class Raw:
    """An answer that is not JSON with status 200.

    `headers` may have another Content-Length than the body's; "" sends none.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def refused(status: int = 400, **error: Any) -> Raw:
    """An error as the protocol has it."""
    return Raw(json.dumps({"error": error}).encode(), status)


Refusal = Callable[[list[Json]], Raw | None]


@dataclass
class ModelServer:
    """What it answers, in order, the last for ever; what it was sent, by whom; what it refuses.

    `refuses`: a word, wherever it is in a request, as content filters do. `refusal`: of messages,
    in a server's own words.
    """

    url: str = ""
    answers: list[Json | Raw] = field(default_factory=list)
    requests: list[Json] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)
    peers: list[tuple[str, int]] = field(default_factory=list)
    strict: bool = False
    max_bytes: int = 10**9
    refuses: str = ""
    refusal: Refusal = field(default=lambda messages: None)

    def give(
        self,
        *answers: Json | Raw,
        strict: bool = False,
        max_bytes: int = 10**9,
        refusal: Refusal = lambda messages: None,
    ) -> None:
        """Forget what was, and answer so."""
        self.answers = list(answers)
        self.strict, self.max_bytes, self.refuses = strict, max_bytes, ""
        self.refusal = refusal
        for kept in (self.requests, self.paths, self.headers, self.peers):
            kept.clear()

    @property
    def sent(self) -> list[Json]:
        """The messages of the last request."""
        return self.requests[-1]["messages"]

    @property
    def roles(self) -> str:
        """The first letters of their roles."""
        return "".join(message["role"][0] for message in self.sent)

    def answer(self, handler: BaseHTTPRequestHandler) -> Raw:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.requests.append(json.loads(body))
        self.paths.append(handler.path)
        self.headers.append(handler.headers)
        self.peers.append(handler.client_address)
        if len(body) > self.max_bytes:
            return refused(code="context_length_exceeded", message="too many tokens")
        if self.refuses and self.refuses in json.dumps(self.sent):
            return refused(code="content_filter", message="Content Exists Risk")
        if self.strict and (problem := strict_problem(self.sent)):
            return refused(code="invalid_request", message=problem)
        if refusal := self.refusal(self.sent):
            return refusal
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer if isinstance(answer, Raw) else Raw(json.dumps(answer).encode())


def strict_problem(messages: list[Json]) -> str:
    """What the strictest servers would say about these messages, "" for nothing."""
    if any(not isinstance(message.get("content"), str) for message in messages):
        return "content must be text"
    if not re.fullmatch(r"s(u(at+)*a)*u(at+)*", "".join(m["role"][0] for m in messages)):
        return "roles must alternate"
    asked = [call for message in messages for call in message.get("tool_calls", ())]
    ids = [call["id"] for call in asked]
    if [m["tool_call_id"] for m in messages if m["role"] == "tool"] != ids:
        return "each call has one result, in order"
    if len(set(ids)) < len(ids) or not all(re.fullmatch("[A-Za-z0-9]{9}", one) for one in ids):
        return "ids must be different, and nine letters and digits"
    for one in asked:
        if not re.fullmatch("[A-Za-z0-9_-]{1,64}", one["function"]["name"]):
            return "that is no name"
        if not isinstance(json.loads(one["function"]["arguments"]), dict):
            return "arguments must be an object"
    return ""


@contextmanager
def running(server: ModelServer, ssl_context: Any = None) -> Iterator[ModelServer]:
    """Serve it, on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            answer = server.answer(self)
            with suppress(ConnectionError):  # of a client that reads no more of a long answer
                self.send_response(answer.status)
                length = {"Content-Length": str(len(answer.body))}
                for name, value in {**length, **answer.headers}.items():
                    if value:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.handle_error = lambda *arguments: None  # a client that goes away
        scheme = "http"
        if ssl_context is not None:
            http.socket = ssl_context.wrap_socket(http.socket, server_side=True)
            scheme = "https"
        thread = threading.Thread(target=http.serve_forever, args=[0.05], daemon=True)
        thread.start()
        server.url = f"{scheme}://127.0.0.1:{http.server_port}/v1"
        yield server
        http.shutdown()
        thread.join()
