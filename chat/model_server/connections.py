"""The openai package's client, with the connections that it keeps to the model's server."""

import asyncio
import weakref
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from chat import outgoing
from chat.live.waiting import turns_loop

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPENAI_URL = "https://api.openai.com/v1"


@lru_cache(maxsize=4)
def openai_client(api_key: str, base_url: str) -> "AsyncOpenAI":
    """Return a client, one for each configuration, because it keeps its connections open."""
    from openai import AsyncOpenAI, DefaultAioHttpClient  # importing it takes a second

    # Without a base URL the package would read OPENAI_BASE_URL itself, and take "" for one.
    url = urlsplit(base_url or OPENAI_URL)
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    path = url.path.rstrip("/").removesuffix("/chat/completions")
    host = url.netloc.rpartition("@")[-1]
    base = urlunsplit(url._replace(netloc=host, path=path, query="", fragment=""))
    # In the address aiohttp refuses them beside the package's own header, which they replace.
    basic = (unquote(url.username), unquote(url.password or "")) if url.username else None
    http = DefaultAioHttpClient(
        base_url=base,
        auth=basic,
        trust_env=False,
        verify=outgoing.tls_context(),
        proxy=outgoing.proxy_for(base),
    )
    client = AsyncOpenAI(
        api_key=api_key or "none",
        base_url=base,
        http_client=http,
        default_query=query,
        # Azure's deployments take the key here alone, and ignore it in Authorization.
        default_headers={"api-key": api_key} if api_key and "api-version" in query else {},
        max_retries=0,
    )
    # The package closes only a client that it made itself.
    loop = turns_loop()
    closing = weakref.finalize(
        client, lambda: asyncio.run_coroutine_threadsafe(http.aclose(), loop)
    )
    closing.atexit = False
    return client
