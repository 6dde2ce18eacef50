"""Ask a model's server, and tell its words as they come.

Whatever way the server answers, what is returned is the body of a completion that is not streamed.
"""

import json
import logging
from collections.abc import Generator, Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from chat.deadline import Deadline
from chat.errors import ModelFailed, ModelTimeout
from chat.live.waiting import until_stopped
from chat.live.words import Words

if TYPE_CHECKING:
    from openai import OpenAI

logger = logging.getLogger(__name__)

ANSWER_MAX_BYTES = 1_048_576
STREAM_MAX_BYTES = 16 * ANSWER_MAX_BYTES  # each word comes in some 200 bytes of JSON
STREAMING_REFUSED = frozenset({400, 404, 405, 406, 415, 422, 501})

Json = dict[str, Any]


def completion(client: "OpenAI", arguments: Json, words: Words, deadline: Deadline) -> bytes:
    """Return the body of the completion; its words are told where somebody follows them.

    A server that refuses to stream is asked without.

    Raises:
        Stopped: by the user.
        ModelTimeout: the answer was not whole at the deadline.
        ModelFailed: the answer is too large, or breaks off.
        openai.OpenAIError, httpx2.HTTPError: as the client raises them.
    """
    import openai

    if words.is_followed:
        try:
            return _tell(client, {**arguments, "stream": True}, words, deadline)
        except openai.APIStatusError as error:
            if error.status_code not in STREAMING_REFUSED:
                raise
    return _tell(client, arguments, words, deadline)


def _tell(client: "OpenAI", arguments: Json, words: Words, deadline: Deadline) -> bytes:
    for heard in until_stopped(partial(_ask, client, arguments, deadline), words, deadline):
        if isinstance(heard, bytes):
            return heard
        words.add(heard)
    raise AssertionError("the last that is heard is the body")


def _ask(
    client: "OpenAI", arguments: Json, deadline: Deadline
) -> Generator[str | bytes, None, None]:
    """Yield the words as they come, and then the body."""
    with client.chat.completions.with_streaming_response.create(**arguments) as response:
        received = _limited(response.iter_bytes(), deadline)
        first = next(received, b"")
        # By what it is: servers that don't know `stream` answer as ever, and some name it anyhow.
        if first.lstrip().startswith(b"{"):
            body = bytearray(first)
            for chunk in received:
                body += chunk
                _check(len(body) <= ANSWER_MAX_BYTES, "its answer is too large")
            yield bytes(body)
        else:
            try:
                yield from _streamed(chain([first], received))
            except (AttributeError, TypeError) as error:
                raise ValueError("an event has another shape") from error


def _limited(chunks: Iterator[bytes], deadline: Deadline) -> Iterator[bytes]:
    """Yield what is received; the client's own timeout limits single reads alone."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        _check(size <= STREAM_MAX_BYTES, "its stream is too large")
        if deadline.passed:
            raise ModelTimeout()
        yield chunk


def _streamed(chunks: Iterator[bytes]) -> Generator[str | bytes, None, None]:
    text: list[str] = []
    calls: dict[int, Json] = {}
    size, is_whole = 0, False
    for data in _events(chunks):
        if data == b"[DONE]":
            is_whole = True
            break
        event = json.loads(data)
        _check("error" not in event, "its stream ends with an error")
        for choice in event.get("choices") or ():
            is_whole = is_whole or bool(choice.get("finish_reason"))
            delta = choice.get("delta") or {}
            for call in delta.get("tool_calls") or ():
                size += _put_together(calls, call)
            if isinstance(piece := delta.get("content"), str) and piece:
                size += len(piece)
                text.append(piece)
                yield piece
        _check(size <= ANSWER_MAX_BYTES, "its answer is too large")
    _check(is_whole, "its stream breaks off")
    message: Json = {"role": "assistant", "content": "".join(text) or None}
    if calls:
        message["tool_calls"] = list(calls.values())
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    body = {"id": "", "object": "chat.completion", "created": 0, "model": "", "choices": [choice]}
    yield json.dumps(body).encode()


def _events(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:") and (data := line[len(b"data:") :].strip()):
                yield data


def _put_together(calls: dict[int, Json], part: Json) -> int:
    """Add a part of a tool call to the calls so far, and return its size.

    A part without an index goes on with the last call, unless it names a function.
    """
    function = part.get("function") or {}
    index = part.get("index")
    if index is None:
        index = len(calls) if function.get("name") or not calls else max(calls)
    call = calls.setdefault(
        index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
    )
    call["id"] = call["id"] or part.get("id") or ""
    name, arguments = function.get("name") or "", function.get("arguments") or ""
    if not isinstance(arguments, str):  # some send an object, whole
        arguments = json.dumps(arguments)
    call["function"]["name"] = call["function"]["name"] or name
    call["function"]["arguments"] += arguments
    return len(name) + len(arguments) + 1


def _check(is_right: bool, reason: str) -> None:
    if not is_right:
        logger.warning("the model failed: %s", reason)
        raise ModelFailed()
