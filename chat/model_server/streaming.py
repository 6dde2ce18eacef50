"""Ask a model's server, and tell its words as they come.

Whatever way the server answers, what is returned is the body of a completion that is not streamed.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from chat.live.words import Words
from chat.model_server.answers import Unusable
from chat.model_server.connections import ModelServer
from chat.model_server.pieces import Pieces
from chat.model_server.refusals import Refused
from chat.model_server.whole import ANSWER_MAX_BYTES, check_size, encoded, whole

STREAM_MAX_BYTES = 16 * ANSWER_MAX_BYTES  # each word comes in some 200 bytes of JSON
TOGETHER_SECONDS = 0.1
STREAMING_REFUSED = frozenset({400, 404, 405, 406, 415, 422, 501})

_DONE = b"[DONE]"
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
            if refused.status not in STREAMING_REFUSED:
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
        first = await anext(received, b"")
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
    pieces = Pieces()
    async for events in _events(first, received):
        words.add(*_shown(pieces, events))
        if _DONE in events:
            pieces.is_whole = True
            break
    if not pieces.is_whole:
        raise Unusable("its stream breaks off")
    return json.dumps(pieces.document).encode()


def _shown(pieces: Pieces, events: list[bytes]) -> Iterator[str]:
    for data in events:
        if data == _DONE:
            return
        try:
            yield pieces.add(json.loads(data.decode("utf-8", "surrogatepass")))
        except (ValueError, RecursionError):
            raise Unusable("an event of its stream is not JSON") from None


async def _events(first: bytes, received: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Yield the events that each chunk ends, without those that have no data."""
    line = bytearray()
    chunk: bytes | None = first
    while chunk is not None:
        # Only what is new is searched and copied: an event may come in any number of chunks.
        end, *others = chunk.split(b"\n")
        line += end
        events = []
        for other in others:
            if line.startswith(b"data:") and (data := bytes(line[len(b"data:") :]).strip()):
                events.append(data)
            line = bytearray(other)
        yield events
        # Models say up to a hundred words a second. To be woken for each, and to wake those who
        # follow, would cost more than the rest of the turn.
        await asyncio.sleep(TOGETHER_SECONDS)
        chunk = await anext(received, None)
