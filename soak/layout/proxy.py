"""TCP proxies that cut off what stands behind them."""

import asyncio
import threading
from contextlib import suppress

from tests.servers import free_port

CHUNK_BYTES = 65_536


class Proxy:
    """Forwards a port to another one, until it is told to hold or to cut the connections."""

    def __init__(self, network: "Network", upstream_port: int) -> None:
        self.port = free_port()
        self._network = network
        self._upstream_port = upstream_port
        self._is_cut = False
        self._flows = asyncio.Event()  # bytes pass while it is set
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Reset all connections, and refuse new ones."""
        self._network.do(self._set, True, True)

    def hold(self) -> None:
        """Let no byte pass; connections stay open, as when packets are dropped."""
        self._network.do(self._set, False, False)

    def restore(self) -> None:
        """Forward again, first what was held back."""
        self._network.do(self._set, False, True)

    def _set(self, is_cut: bool, flows: bool) -> None:
        self._is_cut = is_cut
        (self._flows.set if flows else self._flows.clear)()
        for writer in self._writers if is_cut else ():
            writer.transport.abort()

    async def listen(self) -> None:
        await asyncio.start_server(self._forward, "127.0.0.1", self.port, backlog=1024)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        self._writers -= {writer, back}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                await self._flows.wait()
                writer.write(chunk)
                await writer.drain()
        with suppress(OSError, RuntimeError):
            await self._flows.wait()
            writer.close()


class Network:
    """The proxies of a layout, on an event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def proxy(self, upstream_port: int) -> Proxy:
        proxy = Proxy(self, upstream_port)
        asyncio.run_coroutine_threadsafe(proxy.listen(), self._loop).result(10)
        return proxy

    def do(self, function, *arguments: bool) -> None:
        """Call a function on the loop."""
        self._loop.call_soon_threadsafe(function, *arguments)

    def stop(self) -> None:
        """End the loop, and with it all forwarding."""
        self._loop.call_soon_threadsafe(self._loop.stop)
