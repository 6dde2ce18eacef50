"""Ask a model's server, and tell its words as they come.

Whatever way the server answers, what is returned is the body of a completion that is not streamed.
"""

import json
from collections.abc import Generator, Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from chat.assistant.answers import KEPT_OF_MESSAGE, THOUGHT, Unusable
from chat.deadline import Deadline
from chat.errors import ModelTimeout
from chat.live.waiting import until_stopped
from chat.live.words import Words

if TYPE_CHECKING:
    from openai import OpenAI

ANSWER_MAX_BYTES = 1_048_576
STREAM_MAX_BYTES = 16 * ANSWER_MAX_BYTES  # each word comes in some 200 bytes of JSON
STREAMING_REFUSED = frozenset({400, 404, 405, 406, 415, 422, 501})

_BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"

Json = dict[str, Any]


def completion(client: "OpenAI", arguments: Json, words: Words, deadline: Deadline) -> bytes:
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
            return _tell(client, {**arguments, "stream": True}, words, deadline)
        except openai.APIStatusError as error:
            if error.status_code not in STREAMING_REFUSED:
                raise
    return _tell(client, arguments, words, deadline)


def _tell(client: "OpenAI", arguments: Json, words: Words, deadline: Deadline) -> bytes:
    beginning: str | None = ""  # of the text, while it may be what the model thinks
    for heard in until_stopped(partial(_ask, client, arguments, deadline), words, deadline):
        if isinstance(heard, bytes):
            return heard
        if beginning is not None:
            beginning += heard
            if _is_thought(beginning.lstrip()):
                continue
            words.add(THOUGHT.sub("", beginning, count=1))
            beginning = None
        else:
            words.add(heard)
    raise AssertionError("the last that is heard is the body")


def _is_thought(text: str) -> bool:
    """Whether a text that begins so is thought up to here, as far as can be told."""
    return "</think>" not in text and (text.startswith("<think>") or "<think>".startswith(text))


def _ask(
    client: "OpenAI", arguments: Json, deadline: Deadline
) -> Generator[str | bytes, None, None]:
    """Yield the words as they come, and then the body."""
    with client.chat.completions.with_streaming_response.create(**arguments) as response:
        received = _limited(response.iter_bytes(), deadline)
        first = next(received, b"")
        # By what it is: servers that don't know `stream` answer as ever, and some name it anyhow.
        if arguments.get("stream") and not first.lstrip(_BEFORE_JSON).startswith((b"{", b"[")):
            yield from _streamed(chain([first], received))
            return
        body = bytearray(first)
        for chunk in received:
            body += chunk
            _check(len(body) <= ANSWER_MAX_BYTES, "its answer is too large")
        yield bytes(body)


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
    answer = _Parts()
    for data in _events(chunks):
        if data == b"[DONE]":
            answer.is_whole = True
            break
        try:
            event = json.loads(data)
            _check("choices" in event or "error" not in event, "its stream ends with an error")
            for choice in event.get("choices") or ():
                if piece := answer.add(choice):
                    yield piece
        except (ValueError, AttributeError, TypeError) as error:
            raise Unusable("an event of its stream can't be read") from error
        _check(answer.size <= ANSWER_MAX_BYTES, "its answer is too large")
    _check(answer.is_whole, "its stream breaks off")
    yield answer.as_body()


class _Parts:
    """What came of a streamed answer. `is_whole`: its end came, too."""

    def __init__(self) -> None:
        self.size = 0
        self.is_whole = False
        self._ending: str | None = None
        self._texts: dict[str, list[str]] = {name: [] for name in ("content", *KEPT_OF_MESSAGE)}
        self._calls: dict[int, Json] = {}

    def add(self, choice: Json) -> str:
        """Add what is new in an event, and return the text for the user in it."""
        self._ending = choice.get("finish_reason") or self._ending
        self.is_whole = self.is_whole or self._ending is not None
        delta = choice.get("delta") or {}
        for part in delta.get("tool_calls") or ():
            self._add_to_call(part)
        for name, pieces in self._texts.items():
            if isinstance(piece := delta.get(name), str):
                self.size += len(piece)
                pieces.append(piece)
        content = delta.get("content")
        return content if isinstance(content, str) else ""

    def _add_to_call(self, part: Json) -> None:
        """Without an index it goes on with the last call, unless it names a function."""
        function = part.get("function") or {}
        name, arguments = function.get("name") or "", function.get("arguments") or ""
        if not isinstance(arguments, str):  # some send an object, whole
            arguments = json.dumps(arguments)
        index = part.get("index")
        if index is None:
            index = len(self._calls) if name or not self._calls else max(self._calls)
        call = self._calls.setdefault(index, {"function": {"name": "", "arguments": ""}})
        call |= {key: value for key, value in part.items() if key != "function" and value}
        call["function"]["name"] = call["function"]["name"] or name
        call["function"]["arguments"] += arguments
        self.size += len(name) + len(arguments) + 1

    def as_body(self) -> bytes:
        """Return the body of a completion that says the same."""
        message: Json = {name: "".join(pieces) for name, pieces in self._texts.items() if pieces}
        message["tool_calls"] = list(self._calls.values())
        return json.dumps(
            {"choices": [{"finish_reason": self._ending, "message": message}]}
        ).encode()


def _events(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:") and (data := line[len(b"data:") :].strip()):
                yield data


def _check(is_right: object, reason: str) -> None:
    if not is_right:
        raise Unusable(reason)
