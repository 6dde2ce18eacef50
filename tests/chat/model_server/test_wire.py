"""Servers that break the protocol below the answer: what they do is a failure of the model."""

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from chat.errors import ModelFailed, ModelTimeout
from chat.live.words import Words
from chat.model_server import client
from chat.models import Turn
from tests.chat.model_server.dialogue import Tools, answered

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


@pytest.mark.parametrize("is_followed", [False, True])
def test_broken__is_a_failure_of_the_model_and_no_timeout(
    broken_server, caplog, monkeypatch, is_followed
):
    monkeypatch.setattr(client, "RETRY_PAUSE_SECONDS", 0.01)
    tools = Tools()
    tools.words = Words(Turn(), is_followed=is_followed)
    with pytest.raises(ModelFailed) as failure:
        answered(tools)
    assert not isinstance(failure.value, ModelTimeout)
    assert broken_server
    assert "the model failed" in caplog.text
