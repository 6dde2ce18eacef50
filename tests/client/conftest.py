"""One real server with its stores, and the client over each HTTP library in front of it."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import requests

from client.statekeep_client import AsyncStateClient, StateClient
from tests import servers
from tests.client.proxy import Proxy
from tests.test_servers import Product


class Blocking:
    """An AsyncStateClient, called like a StateClient; all else is the real one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.real = AsyncStateClient(*arguments, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.real, name)

        async def collect(items: Any) -> list[Any]:
            return [item async for item in items]

        def call(*arguments: Any, **options: Any) -> Any:
            called = method(*arguments, **options)
            work = called if asyncio.iscoroutine(called) else collect(called)
            return self.loop.run_until_complete(work)

        return call

    def gather(self, work: Callable[[AsyncStateClient], Any], writers: int, times: int) -> None:
        """`writers` tasks at once, each doing the work so many times."""

        async def one() -> None:
            for _ in range(times):
                await work(self.real)

        async def all_of_them() -> None:
            await asyncio.gather(*(one() for _ in range(writers)))

        self.loop.run_until_complete(all_of_them())

    def close(self) -> None:
        self.loop.run_until_complete(self.real.aclose())
        self.loop.close()


def _over_requests(*arguments: Any, **options: Any) -> StateClient:
    return StateClient(*arguments, session=requests.Session(), **options)


def _over_httpx(*arguments: Any, **options: Any) -> StateClient:
    return StateClient(*arguments, session=httpx.Client(), **options)


LIBRARIES = {"requests": _over_requests, "httpx": _over_httpx, "httpx-async": Blocking}


@pytest.fixture(scope="module")
def product(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    """A server in the module's ENVIRON.

    It does not wait for a Redis that fails: these are tests of the client's patience.
    """
    environ = {"REDIS_TIMEOUT_SECONDS": "0.3", "REDIS_RETRY_SECONDS": "0"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (environ | getattr(request.module, "ENVIRON", {})).items():
            patch.setenv(name, value)
        product = Product(servers.granian, tmp_path_factory.mktemp("p"))
        yield product
        product.stop()


@pytest.fixture(params=LIBRARIES)
def connect(request: pytest.FixtureRequest, product: Product) -> Iterator[Callable[..., Any]]:
    """Makes clients of the library at hand, closed after the test."""
    made = []

    def connect(url: str | None = None, **options: Any) -> Any:
        connector = product.connector
        options = {"secret": connector.secret, "deadline_seconds": 30} | options
        client = LIBRARIES[request.param](
            url or product.server.url, connector.uuid, connector.key_id, **options
        )
        made.append(client)
        return client

    yield connect
    for client in made:
        client.close()
        if isinstance(client, StateClient):
            client._session.close()


@pytest.fixture
def state(connect: Callable[..., Any]) -> Any:
    """A client of the real server."""
    return connect()


@pytest.fixture
def another(product: Product) -> Iterator[StateClient]:
    """Another client, which can write while a call of the first one is under way."""
    connector = product.connector
    credential = (connector.uuid, connector.key_id, connector.secret)
    with StateClient(product.server.url, *credential) as client:
        yield client


@pytest.fixture
def proxy(product: Product) -> Iterator[Proxy]:
    proxy = Proxy(product.server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def far(connect: Callable[..., Any], proxy: Proxy) -> Any:
    """A client behind the proxy."""
    return connect(proxy.url)


class Valkey:
    """The product's Valkey, to be held and let go on."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def hold(self) -> None:
        servers.freeze(self.pid)

    def go_on(self, *_: object) -> None:
        servers.thaw(self.pid)


@pytest.fixture
def valkey(product: Product) -> Iterator[Valkey]:
    valkey = Valkey(product.valkey.pid)
    yield valkey
    valkey.go_on()


_names = iter(range(10_000))


@pytest.fixture
def ns() -> str:
    """A namespace that no other test uses."""
    return f"ns{next(_names)}"
