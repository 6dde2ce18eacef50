"""A streamed answer, put together from its events to what the server would have answered at once.

Servers differ here, too: events have other fields than the protocol knows, are cut off, or repeat
the whole message.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from chat.model_server.answers import KEPT_OF_MESSAGE, BrokenOff, Unusable, read_text, unwrapped
from chat.model_server.refusals import Refused, check_for_error
from chat.model_server.stream.call_parts import Calls, number
from chat.model_server.stream.details import joined
from chat.model_server.stream.endings import Ending
from chat.model_server.stream.sse import DONE, Event, Parser
from chat.model_server.text.thoughts import Shown

Json = dict[str, Any]

_BESIDE = ("refusal", *KEPT_OF_MESSAGE)
_CALLS = ("tool_calls", "function_call")
_NO_ENDINGS = ("null", "none")


class Pieces:
    """A streamed answer. Some servers put its calls into another choice than its text.

    Attributes:
        is_over: nothing more comes.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._ending = Ending()
        self._choices: defaultdict[int, _Choice] = defaultdict(_Choice)

    def take(self, event: Event) -> str:
        """Take an event in, and return what it adds to the text that is shown.

        Raises:
            Refused: it tells of an error.
            Unusable: it is no event of a completion.
        """
        self.is_over = self.is_over or event.data == DONE
        if self.is_over:
            return ""
        try:
            return self.add(_read(event))
        except (Refused, Unusable):
            if not self._ending.is_certain:
                raise
            self.is_over = True  # it came after the answer
            return ""

    def add(self, event: object) -> str:
        """Take in what an event holds; see take."""
        if not isinstance(event, dict):
            raise Unusable("an event of its stream is not an object")
        check_for_error(event)
        shown, says, ends = "", False, False
        for given in _objects(event.get("choices")):
            index = number(given.get("index")) or 0
            piece, says_more = self._choices[index].add(given)
            shown += piece if index == 0 else ""
            says, ends = says or says_more, ends or _ending(given) is not None
        self._ending.note(says=says, ends=ends)
        return shown

    @property
    def patience_seconds(self) -> float | None:
        """How long to wait for what follows; None: the answer is not whole."""
        return 0 if self.is_over else self._ending.patience_seconds

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing if the stream has come to its end."""
        return self.is_over or self._ending.is_told

    @property
    def document(self) -> Json:
        """The completion that chat.model_server.answers reads."""
        return {"choices": [choice.whole for _, choice in sorted(self._choices.items())]}


class _Choice:
    """One of the choices of an answer."""

    def __init__(self) -> None:
        self._message: Json = {}
        self._calls = Calls()
        self._ending: object = None
        self._has_deltas = False  # with text
        self._shown = Shown()

    @property
    def whole(self) -> Json:
        message = {**self._message, "tool_calls": self._calls.begun}
        return {"message": message, "finish_reason": self._ending}

    def add(self, given: Json) -> tuple[str, bool]:
        """Return what an event adds to the text that is shown, and whether it says anything."""
        self._ending = _ending(given) or self._ending
        shown, says = "", False
        if isinstance(delta := given.get("delta"), dict):
            shown += self._add_delta(delta)
            says = _says(delta)
            self._has_deltas = self._has_deltas or bool(self._message["content"])
        if isinstance(message := given.get("message"), dict):
            delta = self._what_is_new(message)
            shown += self._add_delta(delta)
            says = says or _says(delta)
        return shown, says

    def _what_is_new(self, message: Json) -> Json:
        """Return what a message adds, which has all that came so far or, without deltas, a part."""
        self._message |= {name: message[name] for name in _BESIDE if message.get(name)}
        text, before = read_text(message.get("content")) or "", self._message.get("content", "")
        if text.startswith(before):
            text = text[len(before) :]
        elif self._has_deltas:
            text = ""
        calls = {} if self._calls.begun else message
        return {**{name: calls.get(name) for name in _CALLS}, "content": text}

    def _add_delta(self, delta: Json) -> str:
        for name in _BESIDE:
            if (more := delta.get(name)) and isinstance(more, str | list):
                self._message[name] = joined(self._message.get(name), more)
        for part in _objects(delta.get("tool_calls")) or _objects(delta.get("function_call")):
            self._calls.add(part)
        piece = read_text(delta.get("content")) or ""
        self._message["content"] = self._message.get("content", "") + piece
        return self._shown.add(piece)


def _ending(choice: Json) -> object:
    ending = choice.get("finish_reason")
    return ending if ending and ending not in _NO_ENDINGS else None


def _says(delta: Json) -> bool:
    """Whether there is anything in it: thoughts have many names."""
    return any(value for name, value in delta.items() if name != "role")


def _read(event: Event) -> object:
    text = event.data.decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        if event.name == b"error":
            return {"error": text}
        if "{" not in text:  # a word that keeps the connection open
            return {}
        raise Unusable("an event of its stream is not JSON") from None
    document = unwrapped(document)
    if event.name == b"error" and isinstance(document, dict):
        return {"error": document.get("error") or document}
    return document


def read_stream(body: bytes) -> Json:
    """Return the completion in an event stream.

    Raises:
        Refused, Unusable: it is none, or breaks off.
    """
    parser, pieces = Parser(), Pieces()
    for event in parser.feed(body):
        pieces.take(event)
    last_words(parser, pieces)
    return whole_document(pieces)


def last_words(parser: Parser, pieces: Pieces) -> str:
    """Take in the event in which a stream ended; one that was cut off is none."""
    with suppress(Unusable):
        return "".join(map(pieces.take, parser.close()))
    return ""


def whole_document(pieces: Pieces) -> Json:
    """Return the completion at the end of a stream. BrokenOff: it is not whole."""
    if not pieces.is_whole:
        raise BrokenOff("its stream breaks off")
    return pieces.document


def _objects(value: object) -> list[Json]:
    if not value:
        return []
    values: Iterable[object] = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, dict) and item]
