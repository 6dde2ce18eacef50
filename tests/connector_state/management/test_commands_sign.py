"""`sign`: what it prints, and what it says of what it can't use."""

import io
import json
import re
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from shutil import which
from threading import Thread

import pytest
from django.core.management import CommandError, call_command

from tests.connectors import SigningConnector

URL = "http://127.0.0.1:8000/dsx-connect/api/v1/connectors/state/u/m365/delta"


def sign(*arguments: str) -> str:
    out = io.StringIO()
    call_command("sign", *arguments, stdout=out)
    return out.getvalue().strip()


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "connector.json"
    file.write_text(json.dumps({"hmac_key_id": "kid", "hmac_secret": "secret"}))
    return str(file)


@pytest.mark.django_db
def test_sign__makes_a_header_that_opens(tmp_path):
    connector = SigningConnector.create()
    file = tmp_path / "f"
    file.write_text(json.dumps({"hmac_key_id": connector.key_id, "hmac_secret": connector.secret}))
    header = sign("put", f"http://x{connector.path()}", "--credentials", str(file), "--data", "v")
    authorization = header.removeprefix("Authorization: ")
    assert connector.send("PUT", connector.path(), b"v", authorization).status_code == 204


def test_sign__a_body_from_a_file(file, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"\xff")
    line = sign("put", URL, "--credentials", file, "--data-file", str(body), "--curl")
    assert f"--data-binary @{body} {URL}" in line


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ("\0", "it is no JSON"),
        ("[]", "it is no JSON object"),
        ("{}", "it has no text hmac_key_id"),
        ('{"hmac_key_id": "k", "hmac_secret": 1}', "it has no text hmac_secret"),
    ],
)
def test_sign__what_is_no_credential_is_said_in_words(tmp_path, content, why):
    file = tmp_path / "f"
    file.write_text(content)
    wanted = f"^{file} is not what `create_connector --json` prints: {why}.$"
    with pytest.raises(CommandError, match=wanted):
        sign("get", URL, "--credentials", str(file))


def test_sign__a_file_that_is_not_there(file, tmp_path):
    wanted = f"^{re.escape(str(tmp_path))}/none: No such file or directory.$"
    with pytest.raises(CommandError, match=wanted):
        sign("get", URL, "--credentials", f"{tmp_path}/none")
    with pytest.raises(CommandError, match=wanted):
        sign("put", URL, "--credentials", file, "--data-file", f"{tmp_path}/none")


@pytest.fixture
def echo():
    """The port of a server, and the method and target of each request that it got."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            seen.append((self.command, self.path))
            self.send_response(200)
            self.send_header("Content-Length", "9")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(b"some body")

        do_GET = do_HEAD = do_PUT = do_DELETE = answer

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever).start()
        yield server.server_port, seen
        server.shutdown()


@pytest.mark.skipif(which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_sign__curl_sends_what_was_signed(file, echo, method):
    port, seen = echo
    targets = ["/k", "/{x}", "/[1-3]", "/a/../k", "/a/%2e%2e/k", "/k%23x", "/k?ttl=1"]
    for target in targets:
        line = sign(method, f"http://127.0.0.1:{port}{target}", "--credentials", file, "--curl")
        subprocess.run(line, shell=True, check=True, timeout=20, capture_output=True)
        sent_method, sent = seen.pop()
        assert (sent_method, sent.encode("latin-1").decode()) == (method, target)
        assert not seen


@pytest.mark.parametrize("url", [f"{URL}#x", f"{URL} x", f"{URL}\n"])
def test_sign__what_curl_would_not_send_is_refused(file, url):
    for options in ([], ["--curl"]):
        with pytest.raises(CommandError, match="%23"):
            sign("get", url, "--credentials", file, *options)


@pytest.mark.parametrize("url", ["/path", "http://x", "http://[::1/"])
def test_sign__bad_urls(file, url):
    with pytest.raises(CommandError, match=r"^URL"):
        sign("get", url, "--credentials", file)
