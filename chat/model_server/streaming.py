"""Ask a model's server, and tell its words as they come.

Whatever way the server answers, what is returned is the body of a completion that is not streamed.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from chat.live.words import Words
from chat.model_server.answers import Unusable
from chat.model_server.pieces import Pieces

if TYPE_CHECKING:
    from openai import AsyncOpenAI

ANSWER_MAX_BYTES = 1_048_576
STREAM_MAX_BYTES = 16 * ANSWER_MAX_BYTES  # each word comes in some 200 bytes of JSON
TOGETHER_SECONDS = 0.1
STREAMING_REFUSED = frozenset({400, 404, 405, 406, 415, 422, 501})

_DONE = b"[DONE]"
_BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"

Json = dict[str, Any]


async def completion(
    client: "AsyncOpenAI", request: Json, headers: dict[str, str], words: Words
) -> bytes:
    """Return the body of the completion; its words are told where somebody follows them.

    A server that refuses to stream is asked without. There is no time limit.

    Args:
        request: the body of the request.
        headers: further ones.

    Raises:
        Stopped: by the user.
        Unusable: the answer is too large, or breaks off.
        openai.OpenAIError, httpx2.HTTPError: as the client raises them.
    """
    import openai

    if words.is_followed:
        try:
            return await _tell(client, {**request, "stream": True}, headers, words)
        except openai.APIStatusError as error:
            if error.status_code not in STREAMING_REFUSED:
                raise
    return await _tell(client, request, headers, words)


async def _tell(
    client: "AsyncOpenAI", request: Json, headers: dict[str, str], words: Words
) -> bytes:
    """Tell the words as they come, and return the body."""
    from openai import AsyncStream

    # The package's method for completions looks through all that may be in a request for names to
    # translate, of which there are none: that takes milliseconds of a long conversation. A whole
    # address is parsed once, a path three times.
    answer = await client.post(
        f"{client.base_url}chat/completions",
        body=request,
        cast_to=object,
        options={"headers": headers, "timeout": None},
        stream=True,
        stream_cls=AsyncStream[object],
    )
    async with answer:
        received = _limited(answer.response.aiter_bytes())
        first = await anext(received, b"")
        # By what it is: servers that don't know `stream` answer as ever, and some name it anyhow.
        if request.get("stream") and not first.lstrip(_BEFORE_JSON).startswith((b"{", b"[")):
            return await _streamed(first, received, words)
        body = bytearray(first)
        async for chunk in received:
            body += chunk
            _check_size(len(body), ANSWER_MAX_BYTES)
        return bytes(body)


async def _limited(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        _check_size(size, STREAM_MAX_BYTES)
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


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise Unusable(f"its answer has more than {most} bytes")
