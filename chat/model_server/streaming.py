"""Ask a model's server, and tell its words as they come.

Whatever way the server answers, what is returned is the body of a completion that is not streamed.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from chat.live.words import Words
from chat.model_server.answers import BrokenOff
from chat.model_server.connections import ModelServer
from chat.model_server.refusals import Refused
from chat.model_server.stream.pieces import Pieces, last_words, whole_document
from chat.model_server.stream.sse import Parser
from chat.model_server.whole import ANSWER_MAX_BYTES, check_size, encoded, whole

STREAM_MAX_BYTES = 16 * ANSWER_MAX_BYTES  # each word comes in some 200 bytes of JSON
TOGETHER_SECONDS = 0.1
TOGETHER_BYTES = 8_192  # half of what is read at once
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
            return await read_events(first, received, words)
        plain = bytearray(first)
        async for chunk in received:
            plain += chunk
            check_size(len(plain), ANSWER_MAX_BYTES)
        return bytes(plain)


async def _limited(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the chunks. Unusable: they are too many, or break off."""
    import aiohttp
    import httpx2

    size = 0
    try:
        async for chunk in chunks:
            size += len(chunk)
            check_size(size, STREAM_MAX_BYTES)
            yield chunk
    except (httpx2.HTTPError, aiohttp.ClientError) as error:
        raise BrokenOff("its stream breaks off") from error


async def read_events(first: bytes, received: AsyncIterator[bytes], words: Words) -> bytes:
    """Tell the words of an event stream as they come, and return the body of the completion.

    Raises:
        Stopped, Refused, Unusable: see completion.
    """
    parser, pieces = Parser(), Pieces()
    broken: BrokenOff | None = None
    try:
        async with asyncio.timeout(None) as waiting:
            async for chunk in _gathered(first, received):
                patience = pieces.patience_seconds
                words.add(*map(pieces.take, parser.feed(chunk)))
                if pieces.is_over:
                    break
                if pieces.patience_seconds != patience:  # comments don't make it longer
                    waiting.reschedule(_from_now(pieces.patience_seconds))
    except TimeoutError:
        pass  # nothing has followed the answer
    except BrokenOff as error:
        broken = error
    words.add(last_words(parser, pieces))
    if broken and pieces.patience_seconds is None:
        raise broken
    return json.dumps(whole_document(pieces)).encode()


async def _gathered(first: bytes, received: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the chunks; small ones not one by one.

    Models say up to a hundred words a second. To be woken for each, and to wake those who follow,
    would cost more than the rest of the turn.
    """
    chunk = first
    while chunk:
        yield chunk
        # After a large one the next may be there already.
        await asyncio.sleep(TOGETHER_SECONDS if len(chunk) < TOGETHER_BYTES else 0)
        chunk = await anext(received, b"")


def _from_now(seconds: float | None) -> float | None:
    return None if seconds is None else asyncio.get_running_loop().time() + seconds
