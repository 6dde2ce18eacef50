"""When a server stops: its event streams have to be told, as they have no end of their own.

A server asks ASGI's lifespan to shut down only when all connections are closed, for which it would
wait until it loses patience. So the signal itself is listened to, beside the server.
"""

import asyncio
import signal
from collections.abc import Callable
from types import FrameType

from config.door.receive import Receive
from config.door.reply import Send


async def lifespan(receive: Receive, send: Send, on_stop: Callable[[], None]) -> None:
    """Serve ASGI's lifespan; `on_stop` is called on the loop when the process is told to stop."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            _listen(on_stop)
            await send({"type": "lifespan.startup.complete"})
        else:
            on_stop()
            await send({"type": "lifespan.shutdown.complete"})
            return


def _listen(on_stop: Callable[[], None]) -> None:
    """Call on_stop at SIGTERM and SIGINT, and then do what the server does.

    A handler that the server gave its loop (granian) is called by the loop's own means, whatever
    Python's handler is; one that it gave to Python (uvicorn) is called here.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)

        def handle(
            signum: int,
            frame: FrameType | None,
            before: "Callable[[int, FrameType | None], object] | int | None" = before,
        ) -> None:
            loop.call_soon_threadsafe(on_stop)
            if callable(before):
                before(signum, frame)

        signal.signal(number, handle)
