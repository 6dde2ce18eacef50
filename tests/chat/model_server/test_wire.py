"""Servers that break the protocol below the answer: what they do is a failure of the model."""

import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from chat.errors import ModelFailed, ModelTimeout
from chat.model_server import client
from tests.chat.model_server.dialogue import answered
from tests.chat.model_server.imitation import Raw, said
from tests.servers import ROOT

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n'
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)

BROKEN = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "no body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
    "half a body": b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"choices"',
    "half a stream": HEAD + CHUNK,
    "half a chunk": HEAD + CHUNK[:-20],
    "a bad length of a chunk": HEAD + CHUNK + b"zz\r\nx\r\n",
    "a bad length": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
    "a bad encoding": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "a long header": b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 200_000 + b"\r\n\r\n{}",
}


@pytest.fixture(params=BROKEN)
def broken_server(request, settings) -> Iterator[list[int]]:
    """A server that answers so and ends, by a FIN or by a reset; its calls so far."""
    calls: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        settings.OPENAI_BASE_URL = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1_000_000)
                    calls.append(1)
                    connection.sendall(BROKEN[request.param])
                    if len(calls) == 2:  # the second one ends by a reset
                        linger = struct.pack("ii", 1, 0)
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield calls
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@pytest.mark.usefixtures("both_ways")
def test_broken__is_a_failure_of_the_model_and_no_timeout(broken_server, caplog, monkeypatch):
    monkeypatch.setattr(client, "RETRY_PAUSE_SECONDS", 0.01)
    with pytest.raises(ModelFailed) as failure:
        answered()
    assert not isinstance(failure.value, ModelTimeout)
    assert broken_server
    assert "the model failed" in caplog.text


LONG = b'{"error": "' + b"x" * 3_000_000


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    ("status", "logged"), [(200, "more than 1048576 bytes"), (403, "HTTP 403")]
)
def test_long__is_not_read_to_its_end(server, caplog, status, logged):
    server.give(Raw(LONG, status))
    with pytest.raises(ModelFailed):
        answered()
    assert logged in caplog.text


@pytest.mark.usefixtures("both_ways")
def test_elsewhere__is_asked_there(server):
    there = {"Location": f"{server.url}/there"}
    server.give(Raw(status=307, headers=there), said())
    assert answered() == "Done."
    assert server.paths == ["/v1/chat/completions", "/v1/there"]
    assert server.headers[1]["Authorization"] == "Bearer a-key"
    server.give(Raw(status=304), said())
    with pytest.raises(ModelFailed):
        answered()


@pytest.mark.usefixtures("both_ways")
def test_cookies__of_one_answer_do_not_go_along_with_the_next(server):
    server.give(Raw(b"{}", 503, {"Set-Cookie": "turn=secret"}), said())
    assert answered() == "Done."
    assert server.headers[1]["Cookie"] is None


@pytest.mark.usefixtures("both_ways")
def test_connection__is_kept_for_the_next_request(server):
    for _ in range(3):
        answered()
    assert len(set(server.peers)) == 1


ASKS_AND_ENDS = """
import django
django.setup()
from tests.chat.model_server.dialogue import Tools, answered
for Tools.is_followed in (False, True):
    print(answered())
"""


def test_connection__is_closed_when_a_command_ends(server):
    done = subprocess.run(
        [sys.executable, "-c", ASKS_AND_ENDS],
        cwd=ROOT,
        env={**os.environ, "OPENAI_BASE_URL": server.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("Done.\nDone.\n", "")
