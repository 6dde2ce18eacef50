"""Connectors that write and read through a server, and know what their values may be."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.servers import Server


@dataclass
class Report:
    """What was answered, how late, and what must not have been."""

    answers: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    late: int = 0
    lost: list[float] = field(default_factory=list)  # when each was acknowledged
    replayed: list[float] = field(default_factory=list)


class Client:
    """A connector on its own connection: it knows what its value may be."""

    def __init__(self, connector: Any, server: Server, report: Report) -> None:
        self._connector, self._report = connector, report
        self._address = urlsplit(server.url)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._number = 0
        self._may_be: set[bytes | None] = {None}
        self._acknowledged_at = 0.0
        self._last_put = b""

    def _packed(self, method: str, body: bytes = b"") -> bytes:
        path = self._connector.path()
        authorization = self._connector.authorization(method, path, body)
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._address.netloc}\r\n"
        head += f"Authorization: {authorization}\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"Content-Type: text/plain\r\n\r\n" + body

    async def _send(self, request: bytes) -> tuple[int, bytes]:
        """Return status and body, 0 without an answer."""
        try:
            if self._streams is None:
                host, port = self._address.hostname, self._address.port
                self._streams = await asyncio.open_connection(host, port)
            reader, writer = self._streams
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            _, found, length = head.partition(b"content-length:")
            body = await reader.readexactly(int(length.split()[0])) if found else b""
            return int(head.split()[1]), body
        except (OSError, asyncio.IncompleteReadError):
            self._streams = None
            return 0, b""

    async def call(self) -> None:
        """Write the next value, or read what was written."""
        began, self._number = time.monotonic(), self._number + 1
        if self._number % 2:
            value = b"%d" % self._number
            request = self._packed("PUT", value)
            status, _ = await self._send(request)
            # Without an answer, and after a 503, it may have been carried out or not.
            self._may_be = {value} if status == 204 else self._may_be | {value}
            if status == 204:
                self._last_put, self._acknowledged_at = request, time.monotonic()
        else:
            status = await self.read()
        self._report.answers[str(status or "no answer")] += 1
        self._report.seconds.append(time.monotonic() - began)

    async def read(self) -> int:
        """Read the value, and note it if it is none of those that it may be."""
        status, body = await self._send(self._packed("GET"))
        if status in (200, 404):
            # {"value":"12"}: digits alone, so it needs no parser.
            found = bytes(filter(b"0123456789".__contains__, body)) if status == 200 else None
            if found not in self._may_be:
                self._report.lost.append(self._acknowledged_at)
                self._may_be = {found}
        return status

    async def replay(self) -> None:
        """Send the last PUT that was acknowledged again."""
        status, _ = await self._send(self._last_put)
        if status != 401:
            self._report.replayed.append(self._acknowledged_at)
