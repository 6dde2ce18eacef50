"""Between an event loop and Valkey: it does a fault to the replies, from one byte on."""

import asyncio
from pathlib import Path
from typing import Literal

Fault = Literal["cut", "swallow"]


class FaultProxy:
    """A proxy on a unix socket. Until it is armed, and after its one fault, it changes nothing."""

    def __init__(self, socket: Path, upstream: Path) -> None:
        self.socket = socket
        self.passed = 0  # bytes of replies, since it was armed
        self.byte_pause_seconds: float | None = None
        self._upstream = upstream
        self._fault: Fault | None = None
        self._at = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def arm(self, fault: Fault | None, at: int = 0) -> None:
        """Let `at` more bytes of replies pass, then close that connection, or stay silent on it."""
        self.passed, self._fault, self._at = 0, fault, at

    async def __aenter__(self) -> "FaultProxy":
        self._server = await asyncio.start_unix_server(self._serve, self.socket)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        upstream_reader, upstream_writer = await asyncio.open_unix_connection(self._upstream)
        requests = asyncio.create_task(_copy(reader, upstream_writer))
        try:
            while data := await upstream_reader.read(65536):
                if not await self._pass(data, writer):
                    break
        except ConnectionError:
            pass  # the client has dropped it
        finally:
            requests.cancel()
            writer.close()
            upstream_writer.close()
            await asyncio.gather(requests, return_exceptions=True)
            self._tasks.discard(task)

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection is to go on."""
        fault, left = self._fault, self._at - self.passed
        if fault is not None and left < len(data):
            data, self._fault = data[:left], None
        else:
            fault = None
        self.passed += len(data)
        await self._write(data, writer)
        if fault == "swallow":
            await asyncio.Event().wait()  # until the client drops it, or the test ends
        return fault is None

    async def _write(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        if self.byte_pause_seconds is None:
            writer.write(data)
            return
        for byte in data:
            writer.write(bytes([byte]))
            await asyncio.sleep(self.byte_pause_seconds)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
