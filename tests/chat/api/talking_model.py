"""A server of the OpenAI protocol that says what a test tells it to, when it tells it."""

import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECONDS = 30


class Asked:
    """One request to the model. The test answers it."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.client_left = threading.Event()
        self._deltas: queue.Queue[dict[str, Any] | str] = queue.Queue()

    def say(self, text: str) -> None:
        self._deltas.put({"content": text})

    def call(self, tool: str, **arguments: Any) -> None:
        """In two pieces, as servers do."""
        text = json.dumps(arguments)
        first = {"name": tool, "arguments": text[:5]}
        for part in ({"id": "c1", "function": first}, {"function": {"arguments": text[5:]}}):
            self._deltas.put({"tool_calls": [{"index": 0, "type": "function", **part}]})

    def end(self) -> None:
        self._deltas.put("end")

    def break_off(self) -> None:
        self._deltas.put("break off")

    def deltas(self):
        """What the test said, until it ends; an error if the answer is to break off."""
        while (delta := self._deltas.get(timeout=SECONDS)) != "end":
            if delta == "break off":
                raise ConnectionAbortedError
            yield delta


class TalkingModel:
    """`on_stream`: what it does when it is asked to: "stream", "refuse", or "answer" whole."""

    def __init__(self) -> None:
        self.on_stream = "stream"
        self._asked: queue.Queue[Asked] = queue.Queue()
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                is_stream = body.get("stream") and model.on_stream == "stream"
                if body.get("stream") and model.on_stream == "refuse":
                    self.answer(400, {"error": {"message": "no streaming here"}})
                    return
                asked = Asked(body)
                model._asked.put(asked)
                try:
                    self.stream(asked) if is_stream else self.answer(200, whole(asked))
                except OSError:
                    asked.client_left.set()

            def stream(self, asked: Asked) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                for delta in asked.deltas():
                    chunk = {"choices": [{"index": 0, "delta": delta}]}
                    self.wfile.write(b"data: %b\n\n" % json.dumps(chunk).encode())
                self.wfile.write(b"data: [DONE]\n\n")

            def answer(self, status: int, data: dict[str, Any]) -> None:
                self.send_response(status)
                content = json.dumps(data).encode()
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def asked(self) -> Asked:
        """The next request."""
        return self._asked.get(timeout=SECONDS)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def whole(asked: Asked) -> dict[str, Any]:
    """An answer that is not streamed: text alone."""
    text = "".join(delta["content"] for delta in asked.deltas())
    message = {"role": "assistant", "content": text}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
    }
