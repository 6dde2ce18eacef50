"""A model that repeats: to "x" it replies "re: x"; to "add x" it first calls add_task.

python -m soak.layout.model PORT
"""

import json
import random
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECONDS = (0.02, 0.3)
TASK = "add "


def completion(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return an answer in OpenAI's protocol to these messages."""
    last = max(n for n, message in enumerate(messages) if message["role"] == "user")
    text = messages[last]["content"]
    message: dict[str, Any] = {"role": "assistant", "content": f"re: {text}"}
    if text.startswith(TASK) and last == len(messages) - 1:
        arguments = json.dumps({"title": text.removeprefix(TASK)})
        function = {"name": "add_task", "arguments": arguments}
        message["tool_calls"] = [{"id": "call_soak", "type": "function", "function": function}]
    return {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer after a moment, as models do."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(random.uniform(*SECONDS))
        body = json.dumps(completion(request["messages"])).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, *arguments: Any) -> None:
        """Say nothing of clients that have left."""


if __name__ == "__main__":
    _Server(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
