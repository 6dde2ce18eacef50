"""What a call of a connector waits for: its body, its credential, Redis.

Views are coroutines. On an event loop they wait as coroutines do. Under a WSGI server, where each
request has a thread, the same coroutines block it, and so never yield: finish_now runs them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import close_old_connections
from django.http import HttpRequest

from connector_state.credentials import live
from connector_state.store.calls import Caller
from connector_state.store.operations import Operation, Result
from connector_state.store.values import AsyncStateStore, StateStore

T = TypeVar("T")


@dataclass(frozen=True)
class Waits:
    """The ways to wait; each raises what the function that it is named after raises.

    `body` receives the whole body of a request whose length was checked; `run` calls a function
    that reads the database, or computes for milliseconds.
    """

    body: Callable[[HttpRequest], Awaitable[bytes]]
    find_live: Callable[[str, str], Awaitable[live.LiveCredential | None]]
    operate: Callable[[str, Caller, Sequence[Operation]], Awaitable[list[Result]]]
    run: Callable[..., Awaitable[Any]]


async def _read_body(request: HttpRequest) -> bytes:
    return request.body


async def _find_live(key_id: str, address: str) -> live.LiveCredential | None:
    return live.find_live(key_id, address)


async def _operate(
    connector_uuid: str, caller: Caller, operations: Sequence[Operation]
) -> list[Result]:
    return StateStore(connector_uuid, caller).operate(operations)


async def _run(function: Callable[..., T], *args: Any) -> T:
    return function(*args)


async def _receive_body(request: HttpRequest) -> bytes:
    body: bytes = await request.receive_body()  # type: ignore[attr-defined]
    request._body = body  # what HttpRequest.body then returns
    return body


async def _operate_on_loop(
    connector_uuid: str, caller: Caller, operations: Sequence[Operation]
) -> list[Result]:
    return await AsyncStateStore(connector_uuid, caller).operate(operations)


async def _run_in_thread(function: Callable[..., T], *args: Any) -> T:
    return await asyncio.to_thread(_with_usable_connections, function, *args)


def _with_usable_connections(function: Callable[..., T], *args: Any) -> T:
    close_old_connections()  # no request began in this thread, which is when Django does it
    return function(*args)


BLOCKING = Waits(_read_body, _find_live, _operate, _run)
ON_LOOP = Waits(_receive_body, live.find_live_async, _operate_on_loop, _run_in_thread)


def waits_of(request: HttpRequest) -> Waits:
    """Return how this request waits: config.door gives those on its loop a `receive_body`."""
    return ON_LOOP if hasattr(request, "receive_body") else BLOCKING


def finish_now(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine whose waits are BLOCKING to its end, without an event loop.

    Raises:
        RuntimeError: it waited for a loop.
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine without an event loop waited for one")
