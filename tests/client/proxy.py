"""A TCP proxy that loses messages: the network between a client and the real server, at its worst.

A fault is a function that gets `forward`, which hands the request on and returns the answer's
bytes, and returns what the client is to receive: bytes, or None for a cut connection.
"""

import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import BinaryIO

Forward = Callable[[], bytes]
Fault = Callable[[Forward], bytes | None]


def lose_answer(forward: Forward) -> None:
    """The server does it, and the client never hears of it."""
    forward()


def lose_request(forward: Forward) -> None:
    """The server never hears of it."""


def cut_in_the_middle(forward: Forward) -> bytes:
    """The client hears all but the end."""
    return forward()[:-1]


def send_twice(forward: Forward) -> bytes:
    """What a proxy does that tries again by itself: the second answer is handed on."""
    forward()
    return forward()


def read_message(stream: BinaryIO) -> bytes:
    """One HTTP message with its body; b"" at the end of the stream."""
    head = bytearray()
    length = 0
    while line := stream.readline():
        head += line
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        if line == b"\r\n":
            return bytes(head) + stream.read(length)
    return b""


class Proxy:
    """Stands in front of the server; `faults` befall the next requests, one each, in order."""

    def __init__(self, port: int) -> None:
        self.faults: deque[Fault] = deque()
        self.seen: list[bytes] = []
        self._upstream = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._peers: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self._peers:
            try:
                peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed by itself
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self._peers.append(peer)
            thread = threading.Thread(target=self._serve, args=(peer,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: socket.socket) -> None:
        with peer, peer.makefile("rb") as stream:
            while request := self._read(stream):
                self.seen.append(request)

                def forward(request: bytes = request) -> bytes:
                    with socket.create_connection(self._upstream, timeout=20) as server:
                        server.sendall(request)
                        with server.makefile("rb") as answer:
                            return read_message(answer)

                fault = self.faults.popleft() if self.faults else None
                answer = fault(forward) if fault else forward()
                if not fault and answer and answer.startswith(b"HTTP/1.1 503"):
                    # A busy machine's server, for which the client asks once more: not our fault.
                    self.seen.remove(request)
                if answer is not None:
                    peer.sendall(answer)
                if answer is None or fault is cut_in_the_middle:
                    return

    def _read(self, stream: BinaryIO) -> bytes:
        try:
            return read_message(stream)
        except OSError:
            return b""
