"""How the model's server is reached: by the openai package, and by aiohttp below it."""

import asyncio
import atexit
import weakref
from base64 import b64encode
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit, urlunsplit

from chat import outgoing
from chat.live.waiting import turns_loop

if TYPE_CHECKING:
    from aiohttp import ClientSession

OPENAI_URL = "https://api.openai.com/v1"
CONNECTIONS_MAX = 1000  # as the openai package has it
IDLE_SECONDS = 4.0  # uvicorn, by which many a model is served, ends a connection after 5
CLOSE_SECONDS = 1.0  # for the end of the process


class ModelServer:
    """A model's server, with the connections to it, which stay open for the next request.

    `client` and `session` reach the same address with the same headers, certificates and proxy.
    """

    def __init__(self, api_key: str, base_url: str) -> None:
        from httpx2 import Limits, create_ssl_context
        from openai import AsyncOpenAI, DefaultAioHttpClient  # importing it takes a second

        # Without a base URL the package would read OPENAI_BASE_URL itself, and take "" for one.
        url = urlsplit(base_url or OPENAI_URL)
        self._base = _base(url)
        self._query = f"?{url.query}" if url.query else ""
        self._proxy = outgoing.proxy_for(self._base)
        self._tls = create_ssl_context(outgoing.tls_context(), trust_env=False)
        http = DefaultAioHttpClient(
            base_url=self._base,
            trust_env=False,
            verify=self._tls,
            proxy=self._proxy,
            limits=Limits(max_connections=CONNECTIONS_MAX, keepalive_expiry=IDLE_SECONDS),
        )
        http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))  # none is kept
        self.client = AsyncOpenAI(
            api_key=api_key or "none",
            base_url=self._base,
            http_client=http,
            default_headers=_headers(url, api_key),
            max_retries=0,
        )
        self._session: ClientSession | None = None
        # The package closes only connections that it made itself.
        self._closings = [http.aclose]
        self._finalizer = weakref.finalize(self, _close, self._closings, turns_loop())
        self._finalizer.atexit = False  # _close_all waits for it
        _open.add(self)

    def close(self) -> list["Future[None]"]:
        """Begin to close all connections."""
        return self._finalizer() or []

    def url(self, path: str) -> str:
        """Return the address of a path of the protocol, with the query of OPENAI_BASE_URL."""
        return f"{self._base}/{path}{self._query}"

    @property
    def session(self) -> "ClientSession":
        """The session of aiohttp; asked for on the loop of the turns."""
        from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

        if self._session is None:
            headers = {**self.client.auth_headers, **self.client.default_headers}
            self._session = ClientSession(
                connector=TCPConnector(
                    ssl=self._tls, limit=CONNECTIONS_MAX, keepalive_timeout=IDLE_SECONDS
                ),
                headers={name: text for name, text in headers.items() if isinstance(text, str)},
                proxy=self._proxy,
                timeout=ClientTimeout(),  # of which there is one around the whole request
                cookie_jar=DummyCookieJar(),
            )
            self._closings.append(self._session.close)
        return self._session


def _base(url: SplitResult) -> str:
    """Return the address above all paths of the protocol, without a password and a query."""
    path = url.path.rstrip("/").removesuffix("/chat/completions")
    host = url.netloc.rpartition("@")[-1]
    return urlunsplit(url._replace(netloc=host, path=path, query="", fragment=""))


def _headers(url: SplitResult, api_key: str) -> dict[str, str]:
    """Return what is sent beside, or in place of, the package's own headers."""
    headers = {}
    if url.username:  # aiohttp refuses them in an address beside this header
        basic = f"{unquote(url.username)}:{unquote(url.password or '')}"
        headers["Authorization"] = f"Basic {b64encode(basic.encode()).decode()}"
    # Azure's deployments take the key here alone, and ignore it in Authorization.
    if api_key and "api-version" in parse_qs(url.query, keep_blank_values=True):
        headers["api-key"] = api_key
    return headers


_open: weakref.WeakSet[ModelServer] = weakref.WeakSet()


def _close(
    closings: list[Callable[[], Coroutine[Any, Any, None]]], loop: asyncio.AbstractEventLoop
) -> list["Future[None]"]:
    return [asyncio.run_coroutine_threadsafe(close(), loop) for close in closings]


@atexit.register
def _close_all() -> None:
    """Let the loop close all connections: aiohttp complains of those that are open at the end."""
    wait([future for server in _open for future in server.close()], CLOSE_SECONDS)


@lru_cache(maxsize=4)
def model_server(api_key: str, base_url: str) -> ModelServer:
    """Return the server of this configuration, one for each, because it keeps its connections."""
    return ModelServer(api_key, base_url)
