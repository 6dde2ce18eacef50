"""Ask a model's server, and tell its words as they come.

Whatever way the server answers, what is returned is the body of a completion that is not streamed.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from chat.deadline import Deadline
from chat.errors import ModelTimeout
from chat.live.words import TOGETHER_SECONDS, Words
from chat.model_server.answers import Unusable
from chat.model_server.pieces import Pieces

if TYPE_CHECKING:
    from openai import AsyncOpenAI

ANSWER_MAX_BYTES = 1_048_576
STREAM_MAX_BYTES = 16 * ANSWER_MAX_BYTES  # each word comes in some 200 bytes of JSON
SOON_SECONDS = 0.005  # what comes within it was there already
STREAMING_REFUSED = frozenset({400, 404, 405, 406, 415, 422, 501})

_BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"

Json = dict[str, Any]


async def completion(
    client: "AsyncOpenAI", arguments: Json, words: Words, deadline: Deadline
) -> bytes:
    """Return the body of the completion; its words are told where somebody follows them.

    A server that refuses to stream is asked without.

    Raises:
        Stopped: by the user.
        ModelTimeout: the answer was not whole at the deadline.
        Unusable: the answer is too large, or breaks off.
        openai.OpenAIError, httpx2.HTTPError: as the client raises them.
    """
    import openai

    if words.is_followed:
        try:
            return await _tell(client, {**arguments, "stream": True}, words, deadline)
        except openai.APIStatusError as error:
            if error.status_code not in STREAMING_REFUSED:
                raise
    return await _tell(client, arguments, words, deadline)


async def _tell(client: "AsyncOpenAI", arguments: Json, words: Words, deadline: Deadline) -> bytes:
    """Tell the words as they come, and return the body."""
    create = client.chat.completions.with_streaming_response.create
    async with create(**arguments) as response:
        received = _limited(response.iter_bytes(), deadline)
        first = await anext(received, b"")
        # By what it is: servers that don't know `stream` answer as ever, and some name it anyhow.
        if arguments.get("stream") and not first.lstrip(_BEFORE_JSON).startswith((b"{", b"[")):
            return await _streamed(first, received, words)
        body = bytearray(first)
        async for chunk in received:
            body += chunk
            _check_size(len(body), ANSWER_MAX_BYTES)
        return bytes(body)


async def _limited(chunks: AsyncIterator[bytes], deadline: Deadline) -> AsyncIterator[bytes]:
    """Yield what is received; the client's own timeout limits single reads alone."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        _check_size(size, STREAM_MAX_BYTES)
        if deadline.passed:
            raise ModelTimeout()
        yield chunk


async def _streamed(first: bytes, received: AsyncIterator[bytes], words: Words) -> bytes:
    pieces = Pieces()
    async for data in _events(first, received):
        if data == b"[DONE]":
            pieces.is_whole = True
            break
        try:
            shown = pieces.add(json.loads(data))
        except (ValueError, RecursionError):
            raise Unusable("an event of its stream is not JSON") from None
        if shown:
            words.add(shown)
    if not pieces.is_whole:
        raise Unusable("its stream breaks off")
    return json.dumps(pieces.document).encode()


async def _events(first: bytes, received: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    line, clock = bytearray(), asyncio.get_running_loop().time
    chunk: bytes | None = first
    waited = 0.0
    while chunk is not None:
        # Only what is new is searched and copied: an event may come in any number of chunks.
        end, *others = chunk.split(b"\n")
        line += end
        for other in others:
            if line.startswith(b"data:") and (data := bytes(line[len(b"data:") :]).strip()):
                yield data
            line = bytearray(other)
        if waited > SOON_SECONDS:
            # Models say up to a hundred words a second. To be woken for each costs more than to
            # read it, and those who follow are told ten times a second anyhow.
            await asyncio.sleep(TOGETHER_SECONDS)
        began = clock()
        chunk = await anext(received, None)
        waited = clock() - began


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise Unusable(f"its answer has more than {most} bytes")
