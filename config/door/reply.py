"""An answer on its way out."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from django.http.response import HttpResponseBase

from common.telemetry.request import HEADER
from config.serving import on_the_wire

Send = Callable[[dict[str, Any]], Awaitable[None]]

_HEADER = HEADER.lower().encode("ascii")


class Reply:
    """The one answer to a request, over ASGI. `status` is None until it began."""

    def __init__(self, send: Send, method: str, request_id: str) -> None:
        self._send, self._method, self._request_id = send, method, request_id
        self.status: int | None = None

    async def send(self, response: HttpResponseBase) -> bool:
        """Send an answer, of a stream its beginning alone; return whether that is all of it."""
        headers, body = on_the_wire(response, self._method)
        await self._start(response.status_code, headers)
        if body is None:
            return False
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
        return True

    async def _start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        self.status = status
        encoded = [
            (name.lower().encode("ascii"), value.encode("latin-1")) for name, value in headers
        ]
        encoded.append((_HEADER, self._request_id.encode("ascii")))
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def piece(self, content: bytes) -> None:
        """Send the next piece of a stream; it goes out at once."""
        await self._send({"type": "http.response.body", "body": content, "more_body": True})

    async def end(self) -> None:
        """Send the end of a stream to the client."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
