"""A router for where there is no nginx: state to one server, all else to the other.

python router.py PORT STATE_PORT OTHER_PORT
"""

import sys
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STATE = "/dsx-connect/api/v1/connectors/state/"
PER_CONNECTION = {"connection", "transfer-encoding", "date", "server"}


class Handler(BaseHTTPRequestHandler):
    """Sends each request on as it came, its target above all: that is what is signed."""

    protocol_version = "HTTP/1.1"
    ports: tuple[int, int]

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        port = self.ports[0 if self.path.startswith(STATE) else 1]
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in PER_CONNECTION:
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in PER_CONNECTION:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


def main() -> None:
    """Serve on loopback until the process is stopped."""
    port, *ports = map(int, sys.argv[1:])
    Handler.ports = (ports[0], ports[1])
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
