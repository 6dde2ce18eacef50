"""When a server stops, its event streams have to be told, as they have no end of their own.

The server waits for all connections, until it loses patience, and tells ASGI's lifespan after that.
So the signal itself is listened to.
"""

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType


def listen(on_stop: Callable[[], None]) -> None:
    """Call on_stop on this loop at SIGTERM and SIGINT, beside what the server does then.

    A handler that the server gave its loop (granian) is called by the loop's own means, whatever
    Python's handler is; one that it gave to Python (uvicorn) is called from here.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # only there can it be done; no server of ours has its loop elsewhere
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _both(loop, on_stop, signal.getsignal(number)))


def _both(
    loop: asyncio.AbstractEventLoop, on_stop: Callable[[], None], before: object
) -> Callable[[int, FrameType | None], None]:
    def handle(signum: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(on_stop)
        if callable(before):
            before(signum, frame)

    return handle
