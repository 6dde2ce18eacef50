"""Stores that are away, or never answer, for what runs in this process."""

import copy
import socket
from collections.abc import Iterator
from contextlib import contextmanager

AWAY = 9  # nobody listens on this port


def move_redis(settings, port: int) -> None:
    """Look for Redis on this port of this machine from now on; `settings` is the fixture."""
    caches = copy.copy(settings.CACHES)
    caches["default"] = {**caches["default"], "LOCATION": f"redis://127.0.0.1:{port}/0"}
    settings.CACHES = caches


def move_conversations(settings, port: int) -> None:
    """Look for a sidecar on this port of this machine from now on."""
    settings.CHAT_STATE_STORE = "dapr"
    settings.DAPR_ENDPOINT = f"http://127.0.0.1:{port}"


@contextmanager
def frozen_port() -> Iterator[int]:
    """A port as a process that is stopped has it: connections are taken, and that is all."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield listener.getsockname()[1]
