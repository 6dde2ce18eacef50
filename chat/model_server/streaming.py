"""Ask a model's server, and tell its words as they come.

Whatever way the server answers, what is returned is the body of a completion that is not streamed.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from chat.live.words import Words
from chat.model_server.connections import ModelServer
from chat.model_server.pieces import Pieces, whole_document
from chat.model_server.refusals import Refused
from chat.model_server.sse import Parser
from chat.model_server.whole import ANSWER_MAX_BYTES, check_size, encoded, whole

STREAM_MAX_BYTES = 16 * ANSWER_MAX_BYTES  # each word comes in some 200 bytes of JSON
TOGETHER_SECONDS = 0.1
END_SECONDS = 2.0  # after the answer, for the end of its stream
STREAMING_REFUSED = frozenset({400, 404, 405, 406, 415, 422, 501})

_BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"

Json = dict[str, Any]


async def completion(
    server: ModelServer, request: Json, headers: dict[str, str], words: Words
) -> bytes:
    """Return the body of the completion; its words are told where somebody follows them.

    A server that refuses to stream is asked without. There is no time limit.

    Args:
        request: the body of the request.
        headers: further ones.

    Raises:
        Stopped: by the user.
        Refused: with an HTTP status that is not of success.
        Unusable: the answer is too large, or breaks off.
        openai.OpenAIError, httpx2.HTTPError, aiohttp.ClientError: there is no connection, or it
            broke.
    """
    if words.is_followed:
        try:
            return await _tell(server, encoded({**request, "stream": True}), headers, words)
        except Refused as refused:
            # llama.cpp of early 2025: 500, "Cannot use tools with stream".
            names_it = refused.status == 500 and b" stream" in refused.body
            if refused.status not in STREAMING_REFUSED and not names_it:
                raise
    return await whole(server, encoded(request), headers)


async def _tell(server: ModelServer, body: bytes, headers: dict[str, str], words: Words) -> bytes:
    """Tell the words as they come, and return the body of the completion."""
    import openai

    # The package's method for completions looks through all that may be in a request for names to
    # translate, of which there are none: that takes milliseconds of a long conversation. A whole
    # address is parsed once, a path three times.
    try:
        answer = await server.client.post(
            server.url("chat/completions"),
            content=body,
            cast_to=object,
            options={"headers": headers, "timeout": None},
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )
    except openai.APIStatusError as error:
        response = error.response
        raise Refused(
            error.status_code, response.content, response.headers.get("Retry-After")
        ) from error
    async with answer:
        received = _limited(answer.response.aiter_bytes())
        first = b""
        async for chunk in received:
            first += chunk
            if first.strip(_BEFORE_JSON):
                break
        # By what it is: servers that don't know `stream` answer as ever, and some name it anyhow.
        if not first.lstrip(_BEFORE_JSON).startswith((b"{", b"[")):
            return await _streamed(first, received, words)
        plain = bytearray(first)
        async for chunk in received:
            plain += chunk
            check_size(len(plain), ANSWER_MAX_BYTES)
        return bytes(plain)


async def _limited(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        check_size(size, STREAM_MAX_BYTES)
        yield chunk


async def _streamed(first: bytes, received: AsyncIterator[bytes], words: Words) -> bytes:
    parser, pieces = Parser(), Pieces()
    chunk = first
    while chunk:
        words.add(*map(pieces.take, parser.feed(chunk)))
        if pieces.is_over:
            break
        # Models say up to a hundred words a second. To be woken for each, and to wake those who
        # follow, would cost more than the rest of the turn.
        await asyncio.sleep(TOGETHER_SECONDS)
        chunk = await _next(received, pieces)
    else:
        words.add(*map(pieces.take, parser.close()))
    return json.dumps(whole_document(pieces)).encode()


async def _next(received: AsyncIterator[bytes], pieces: Pieces) -> bytes:
    """Return the next chunk, empty at the end; for what follows the answer nobody waits long."""
    if not pieces.is_whole:
        return await anext(received, b"")
    import httpx2

    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(END_SECONDS):
            return await anext(received, b"")
    return b""
