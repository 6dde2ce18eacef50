"""A TCP proxy that stops passing bytes on, as a mobile network does: it closes nothing."""

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit


class StallingProxy:
    """Passes bytes on between a browser and a server."""

    def __init__(self, server_url: str) -> None:
        where = urlsplit(server_url)
        self._server = (where.hostname, where.port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listening]
        self._streams: set[socket.socket] = set()
        self._stalled: set[socket.socket] = set()
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def stall_streams(self) -> None:
        """From now on, nothing comes from the event streams that are open."""
        self._stalled |= self._streams

    def close(self) -> None:
        for each in self._sockets:
            with suppress(OSError):  # its other end has left
                each.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for it
            each.close()

    def _accept(self) -> None:
        try:
            while True:
                browser, _ = self._listening.accept()
                server = socket.create_connection(self._server)
                self._sockets += [browser, server]
                for source, target in ((browser, server), (server, browser)):
                    threading.Thread(target=self._pass_on, args=(source, target)).start()
        except OSError:  # closed
            pass

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while content := source.recv(65536):
                head = content.partition(b"\r\n\r\n")[0]
                if head.startswith(b"HTTP/") and b"text/event-stream" in head:
                    self._streams.add(source)
                if source not in self._stalled:
                    target.sendall(content)
            if source not in self._stalled:
                target.shutdown(socket.SHUT_WR)
        except OSError:  # one of them has left
            pass
