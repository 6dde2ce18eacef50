"""A streamed answer, put together from its events to what the server would have answered at once.

Servers differ here, too: parts of calls come without an index, or with one index for several calls;
arguments come as an object; events repeat the whole message.
"""

import json
from collections.abc import Iterable
from typing import Any

from chat.model_server.answers import KEPT_OF_CALL, KEPT_OF_MESSAGE, BrokenOff, Unusable, read_text
from chat.model_server.refusals import Refused, check_for_error
from chat.model_server.sse import DONE, Event, Parser, is_json
from chat.model_server.thoughts import Shown

Json = dict[str, Any]

_BESIDE = ("refusal", *KEPT_OF_MESSAGE)
_CALLS = ("tool_calls", "function_call")
_NO_ENDINGS = ("null", "none")


class Pieces:
    """The first choice of a streamed answer.

    Attributes:
        is_whole: nothing of the answer is missing.
        is_over: nothing more comes.
    """

    def __init__(self) -> None:
        self.is_whole = False
        self.is_over = False
        self._message: Json = {}
        self._calls: list[Json] = []
        self._last_of: dict[object, Json] = {}  # by index, or by id; None: of all
        self._ending: object = None
        self._has_deltas = False  # with text
        self._shown = Shown()

    def take(self, event: Event) -> str:
        """Take an event in, and return what it adds to the text that is shown.

        Raises:
            Refused: it tells of an error.
            Unusable: it is no event of a completion.
        """
        if event.data == DONE:
            self.is_whole = self.is_over = True
            return ""
        try:
            return self.add(_read(event))
        except (Refused, Unusable):
            if not self.is_whole:
                raise
            self.is_over = True  # it came after the answer
            return ""

    def add(self, event: object) -> str:
        """Take in what an event holds; see take."""
        if not isinstance(event, dict):
            raise Unusable("an event of its stream is not an object")
        check_for_error(event)
        shown = ""
        for choice in _objects(event.get("choices")):
            if _number(choice.get("index")):  # only one was asked for
                continue
            if (ending := choice.get("finish_reason")) and ending not in _NO_ENDINGS:
                self._ending, self.is_whole = ending, True
            delta, message = choice.get("delta"), choice.get("message")
            if isinstance(delta, dict):
                shown += self._add_delta(delta)
                self._has_deltas = self._has_deltas or bool(self._message["content"])
            if isinstance(message, dict):
                shown += self._add_delta(self._what_is_new(message))
        return shown

    @property
    def document(self) -> Json:
        """The completion that chat.model_server.answers reads."""
        message = {**self._message, "tool_calls": self._calls}
        return {"choices": [{"message": message, "finish_reason": self._ending}]}

    def _what_is_new(self, message: Json) -> Json:
        """Return what a message adds, which has all that came so far or, without deltas, a part."""
        self._message |= {name: message[name] for name in _BESIDE if message.get(name)}
        text, before = read_text(message.get("content")) or "", self._message.get("content", "")
        if text.startswith(before):
            text = text[len(before) :]
        elif self._has_deltas:
            text = ""
        calls = {} if self._calls else message
        return {**{name: calls.get(name) for name in _CALLS}, "content": text}

    def _add_delta(self, delta: Json) -> str:
        for name in _BESIDE:
            if isinstance(more := delta.get(name), str | list):
                self._message[name] = _joined(self._message.get(name), more)
        parts = _objects(delta.get("tool_calls")) or _objects(delta.get("function_call"))
        for part in parts:
            self._add_call(part)
        piece = read_text(delta.get("content")) or ""
        self._message["content"] = self._message.get("content", "") + piece
        return self._shown.add(piece)

    def _add_call(self, part: Json) -> None:
        function = part["function"] if isinstance(part.get("function"), dict) else part
        call = self._call_of(part, function)
        for name in ("id", *KEPT_OF_CALL):
            if part.get(name):
                call.setdefault(name, part[name])
        if function.get("name"):
            call["function"].setdefault("name", function["name"])
        arguments = function.get("arguments") or ""
        if not isinstance(arguments, str):  # whole
            arguments = json.dumps(arguments)
        call["function"]["arguments"] += arguments

    def _call_of(self, part: Json, function: Json) -> Json:
        """Return the call that a part goes on with, or a new one that it begins."""
        index, part_id = _number(part.get("index")), str(part.get("id") or "")
        by_id = ("id", part_id) if part_id else None
        call = self._last_of.get(by_id if index is None and by_id in self._last_of else index)
        if call is not None and function.get("name") and "name" in call["function"]:
            call = call if _goes_on(call, part_id, has_index=index is not None) else None
        if call is None:
            call = {"function": {"arguments": ""}}
            self._calls.append(call)
        self._last_of |= dict.fromkeys((index, by_id, None), call)
        return call


def _goes_on(call: Json, part_id: str, *, has_index: bool) -> bool:
    """Whether a part that names a function goes on with this call: it may be the next one."""
    arguments = call["function"]["arguments"]
    if is_json(arguments):
        return False
    if part_id and part_id != str(call.get("id")):
        return bool(arguments) and has_index  # some servers give each part an id of its own
    return bool(part_id) or has_index


def _read(event: Event) -> object:
    text = event.data.decode("utf-8", "surrogatepass")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        if event.name == b"error":
            return {"error": text}
        if "{" not in text:  # a word that keeps the connection open
            return {}
        raise Unusable("an event of its stream is not JSON") from None
    if event.name == b"error" and isinstance(document, dict):
        return {"error": document.get("error") or document}
    return document


def read_stream(body: bytes) -> Json:
    """Return the completion in an event stream.

    Raises:
        Refused, Unusable: it is none, or breaks off.
    """
    parser, pieces = Parser(), Pieces()
    for event in (*parser.feed(body), *parser.close()):
        pieces.take(event)
        if pieces.is_over:
            break
    return whole_document(pieces)


def whole_document(pieces: Pieces) -> Json:
    """Return the completion at the end of a stream. Unusable: it breaks off."""
    if not pieces.is_whole:
        raise BrokenOff("its stream breaks off")
    return pieces.document


def _joined(before: Any, more: Any) -> Any:
    return before + more if type(before) is type(more) else more


def _number(index: object) -> int | None:
    if isinstance(index, str) and index.isdecimal():
        return int(index)
    return index if isinstance(index, int) else None


def _objects(value: object) -> list[Json]:
    if not value:
        return []
    values: Iterable[object] = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, dict) and item]
