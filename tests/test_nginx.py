"""Through a real nginx with the files of deploy/nginx, to a real server and a stand-in."""

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import servers
from tests.connectors import PREFIX
from tests.nginx import Nginx, deployed, make_certificate, nginx_binary
from tests.servers import ROOT, free_port
from tests.test_servers import Product

EVENTS = "/dsx-connect/api/v1/subscribe/events"
FILES = ("statekeep.conf", "beside_dsx_connect.conf")


class Echo(BaseHTTPRequestHandler):
    """Answers what it was sent; of EVENTS the second comes when the client has had the first."""

    protocol_version = "HTTP/1.1"
    has_first = threading.Event()

    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        while size > 0 and (piece := self.rfile.read(min(size, 65_536))):
            size -= len(piece)
        if self.path == EVENTS:
            self._send_events()
            return
        seen = {"method": self.command, "target": self.path, "headers": self.headers.items()}
        body = json.dumps(seen, default=list).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET

    def _send_events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"data: first\n\n")
        if self.has_first.wait(20):
            self.wfile.write(b"data: second\n\n")

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


def granian(environ: dict[str, str], *options) -> servers.Server:
    return servers.granian({**environ, "TRUSTED_PROXY_COUNT": "1"}, *options)


@pytest.fixture(scope="module")
def product(tmp_path_factory) -> Iterator[Product]:
    nginx_binary()  # or skip, before anything is started
    product = Product(granian, tmp_path_factory.mktemp("p"))
    yield product
    product.stop()


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def ports(product, echo, tmp_path_factory) -> Iterator[SimpleNamespace]:
    """The ports of both files, and of the first again with the echo behind it and small limits."""
    folder: Path = tmp_path_factory.mktemp("nginx")
    certificate = make_certificate(folder)
    ports = SimpleNamespace(**{name: free_port() for name in ("own", "plain", "echo", "beside")})
    ports.context = ssl.create_default_context(cafile=str(certificate))

    def common(port: int, name: str) -> dict[str, str]:
        return {
            "listen 443": f"listen 127.0.0.1:{port}",
            f"/etc/ssl/{name}.pem": str(certificate),
            f"/etc/ssl/{name}.key": str(certificate),
        }

    here = f"127.0.0.1:{product.server.port}"
    own = {"127.0.0.1:8000": here, "listen 80": f"listen 127.0.0.1:{ports.plain}"}
    echoed = {
        "127.0.0.1:8000": f"127.0.0.1:{echo}",
        "listen 80": f"listen 127.0.0.1:{free_port()}",
        "statekeep_connections 200": "statekeep_connections 2",
        "statekeep_": "echoed_",
        "//statekeep": "//echoed",
        "upstream statekeep": "upstream echoed",
    }
    beside = {"127.0.0.1:8000": here, "127.0.0.1:8586": f"127.0.0.1:{echo}"}
    blocks = [
        deployed(FILES[0], common(ports.own, "statekeep") | own),
        deployed(FILES[0], common(ports.echo, "statekeep") | echoed),
        deployed(FILES[1], common(ports.beside, "dsx") | beside),
    ]
    nginx = Nginx(folder, "\n".join(blocks), ports.beside)
    yield ports
    nginx.stop()


def call(ports, port: int, method: str, target: str, body: bytes = b"", **headers: str):
    """Send a request as it is; return the status, the headers and the body."""
    connection = HTTPSConnection("127.0.0.1", port, context=ports.context, timeout=30)
    connection.request(method, target, body, headers)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def signed(product, ports, port: int, method: str, target: str, body: bytes = b""):
    authorization = product.connector.authorization(method, target, body)
    status, _, content = call(ports, port, method, target, body, Authorization=authorization)
    return status, json.loads(content) if content else None


@pytest.mark.parametrize("way", ["own", "beside"])
@pytest.mark.parametrize(
    "key",
    [
        *("a%2Fb", "a%2Bb", "a+b", "a%20b", "it's(1)!*", "it%27s%281%29%21%2A", "a,b", "a%2Cb"),
        *("delta%3Auser%40contoso", "delta:user@contoso", "a//b", "..%2Fx", "a/../../../../x"),
        *("%2E%2E%2Fx", "%252F", "na%C3%AFve", "a%3Fb", "a;b=c", "a%25", "%5Ba%5D", "a%7Cb"),
    ],
)
def test_keys__are_stored_and_read_as_they_are_sent(product, ports, way, key):
    target, port = f"{PREFIX}/state/{product.connector.uuid}/m365/{key}", getattr(ports, way)
    value = f"{way} {key}".encode()
    assert signed(product, ports, port, "PUT", target, value) == (204, None)
    assert signed(product, ports, port, "GET", target) == (200, {"value": value.decode()})
    directly = product.raw(product.raw_request("GET", target.encode()))
    assert (directly[0], json.loads(directly[1])) == (200, {"value": value.decode()})


def test_keys__over_http_2(product, ports):
    target = f"{PREFIX}/state/{product.connector.uuid}/m365/over%2Fhttp%202"
    authorization = product.connector.authorization("PUT", target, b"v")
    command = ["curl", "-sk", "--http2", "--path-as-is", "-o", "/dev/null", "-X", "PUT"]
    command += ["--data-binary", "v", "-H", f"Authorization: {authorization}"]
    command += ["-w", "%{http_version} %{http_code}", f"https://127.0.0.1:{ports.own}{target}"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert told == "2 204"


@pytest.mark.parametrize("way", ["own", "beside"])
def test_batch__of_more_than_1_mb(product, ports, way):
    target = f"{PREFIX}/state/{product.connector.uuid}/large"
    operations = [{"op": "put", "key": f"{way}{n}", "value": "x" * 60_000} for n in range(40)]
    body = json.dumps({"operations": operations}).encode()
    assert len(body) > 2_000_000
    status, answer = signed(product, ports, getattr(ports, way), "POST", target, body)
    assert (status, len(answer["results"])) == (200, 40)


@pytest.mark.parametrize("way", ["own", "beside"])
def test_body__that_is_too_large_is_refused_by_us_in_json(product, ports, way):
    target = f"{PREFIX}/state/{product.connector.uuid}/large"
    status, answer = signed(product, ports, getattr(ports, way), "POST", target, b"x" * 4_500_000)
    assert (status, answer["code"]) == (413, "value_too_large")


@pytest.mark.parametrize("way", ["own", "beside"])
def test_body__that_nobody_reads_does_not_hide_why(product, ports, way):
    # nginx takes a connection that is closed under its hands for a failure of the server.
    target = f"{PREFIX}/state/{product.connector.uuid}/large"
    status, _, body = call(ports, getattr(ports, way), "POST", target, b"x" * 4_000_000)
    assert (status, json.loads(body)["code"]) == (401, "not_authenticated")


@pytest.mark.parametrize("path", [f"{PREFIX}/register", "/api/ada/chat"])
def test_body__that_nginx_refuses_is_refused_in_json_too(ports, path):
    status, headers, body = call(ports, ports.own, "POST", path, b"x" * 6_000_000)
    assert (status, json.loads(body)["code"]) == (413, "body_too_large")
    assert headers["Content-Type"] == "application/json"


def test_body__of_a_page_may_be_an_import(ports):
    # Nobody is logged in, so it is refused, by a page of ours and not by nginx'.
    status, _, body = call(ports, ports.own, "POST", "/admin/", b"x" * 20_000_000)
    assert status == 413
    assert b"nginx" not in body


def test_headers__say_who_called_and_can_not_be_forged(product, ports):
    forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "gopher", "X_Forwarded_For": "6"}
    forged["X-Request-ID"] = "forged"
    _, _, body = call(ports, ports.echo, "GET", f"{PREFIX}/a%2Fb//c?d=%2F", b"", **forged)
    seen = json.loads(body)
    headers = {name.lower(): value for name, value in seen["headers"]}
    assert seen["target"] == f"{PREFIX}/a%2Fb//c?d=%2F"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "https"
    assert headers["x-request-id"] not in ("", "forged")
    assert headers["host"] == "127.0.0.1"
    assert not {"x_forwarded_for", "connection"} & set(headers)


def test_headers__a_log_in_behind_it_works(product, ports):
    status, _, body = call(ports, ports.own, "GET", "/admin/login/", Host="localhost")
    assert status == 200
    assert b"csrfmiddlewaretoken" in body


def test_plain_http__is_sent_to_https(ports):
    with socket.create_connection(("127.0.0.1", ports.plain), 30) as peer:
        peer.sendall(b"GET /admin/?a=%2F HTTP/1.0\r\nHost: statekeep.example.org\r\n\r\n")
        answer = peer.recv(4096)
    assert answer.startswith(b"HTTP/1.1 308")
    assert b"Location: https://statekeep.example.org/admin/?a=%2F\r\n" in answer


@pytest.mark.parametrize("way", ["echo", "beside"])
def test_events__come_one_by_one(ports, way):
    Echo.has_first.clear()
    connection = HTTPSConnection(
        "127.0.0.1", getattr(ports, way), context=ports.context, timeout=10
    )
    connection.request("GET", EVENTS)
    answer = connection.getresponse()
    assert answer.readline() == b"data: first\n"  # a proxy that buffers would hold it back
    Echo.has_first.set()
    assert answer.read() == b"\ndata: second\n\n"
    connection.close()


def test_limit__of_connections_by_address_is_told_in_json(ports):
    Echo.has_first.clear()
    held = [HTTPSConnection("127.0.0.1", ports.echo, context=ports.context) for _ in range(2)]
    for connection in held:
        connection.request("GET", EVENTS)
        connection.getresponse()
    status, headers, body = call(ports, ports.echo, "GET", f"{PREFIX}/x")
    assert (status, json.loads(body)["code"]) == (429, "rate_limited")
    assert headers["Retry-After"] == "1"
    Echo.has_first.set()
    for connection in held:
        connection.close()


def test_router__sends_state_here_and_all_else_to_the_dsx_connect(product, ports):
    state = f"{PREFIX}/state/{product.connector.uuid}/m365/router"
    assert signed(product, ports, ports.beside, "GET", state) == (200, {"value": ""})
    others = [
        *(f"{PREFIX}/register", f"{PREFIX}/unregister/x", f"{PREFIX}/states/x", f"{PREFIX}/state"),
        *("/", "/dsx-connect/api/v1/scan/request", "/api/v1/execution/jobs/batch", "/admin/"),
        f"/x?/{PREFIX}/state/",
    ]
    for target in others:
        status, _, body = call(ports, ports.beside, "POST", target, b"{}")
        assert (status, json.loads(body)["target"]) == (200, target)


def test_router__a_large_body_reaches_the_dsx_connect(ports):
    status, _, _ = call(ports, ports.beside, "POST", "/dsx-connect/x", b"x" * 8_000_000)
    assert status == 200


@pytest.mark.parametrize("file", FILES)
def test_docs__have_the_file_as_it_is(file):
    pages = (ROOT / "docs/production.md").read_text() + (ROOT / "docs/connectors.md").read_text()
    assert f"```nginx\n{(ROOT / 'deploy/nginx' / file).read_text()}```" in pages
