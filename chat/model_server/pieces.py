"""A streamed answer, put together from its events to what the server would have answered at once.

Servers differ here, too: parts of calls come without an index, or with one index for several calls;
arguments come as an object; the last event repeats the whole message.
"""

import json
from collections.abc import Iterable
from typing import Any

from chat.model_server.answers import KEPT_OF_CALL, KEPT_OF_MESSAGE, THOUGHT, Unusable, read_text

Json = dict[str, Any]

_THINKS, _THOUGHT = "<think>", "</think>"


class Pieces:
    """The first choice of a streamed answer. `is_whole`: its end has come."""

    def __init__(self) -> None:
        self.is_whole = False
        self._message: Json = {}
        self._calls: list[Json] = []
        self._last_of: dict[object, Json] = {}  # by index; None: of all
        self._ending: object = None
        self._thought_ends = False
        self._is_shown = False  # once it is clear that what comes is not a thought

    def add(self, event: object) -> str:
        """Take an event in, and return what it adds to the text that is shown.

        Raises:
            Unusable: it is an error, or no event of a completion.
        """
        if not isinstance(event, dict):
            raise Unusable("an event of its stream is not an object")
        if event.get("error"):
            raise Unusable("its stream ends with an error")
        shown = ""
        for choice in _objects(event.get("choices")):
            if choice.get("index"):  # only one was asked for
                continue
            if ending := choice.get("finish_reason"):
                self._ending, self.is_whole = ending, True
            delta = choice.get("delta")
            if not isinstance(delta, dict):
                delta = {} if self._message or self._calls else choice.get("message")
            shown += self._add_delta(delta if isinstance(delta, dict) else {})
        return shown

    @property
    def document(self) -> Json:
        """The completion that chat.model_server.answers reads."""
        message = {**self._message, "tool_calls": self._calls}
        return {"choices": [{"message": message, "finish_reason": self._ending}]}

    def _add_delta(self, delta: Json) -> str:
        for name in ("refusal", *KEPT_OF_MESSAGE):
            if isinstance(delta.get(name), str):
                self._message[name] = self._message.get(name, "") + delta[name]
        for part in _objects(delta.get("tool_calls")):
            self._add_call(part)
        if isinstance(function := delta.get("function_call"), dict) and function:
            self._add_call({"index": 0, "function": function})
        piece = read_text(delta.get("content")) or ""
        text = self._message["content"] = self._message.get("content", "") + piece
        if self._is_shown:
            return piece
        # Thoughts are long: only the end of what came is searched, or each word would cost more.
        end = text[-len(piece) - len(_THOUGHT) :]
        self._thought_ends = self._thought_ends or _THOUGHT in end
        if not self._thought_ends and text.lstrip().startswith(_THINKS):
            return ""
        shown = THOUGHT.sub("", text, count=1)
        beginning = shown.lstrip()
        self._is_shown = not _THINKS.startswith(beginning[: len(_THINKS)])
        return beginning if self._is_shown else ""

    def _add_call(self, part: Json) -> None:
        function = part.get("function")
        function = function if isinstance(function, dict) else {}
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
        index = part["index"] if isinstance(part.get("index"), int) else None
        part_id = part.get("id")
        call = self._last_of.get(index)
        if call is not None and function.get("name") and "name" in call["function"]:
            # It names a function again: it may repeat itself, or be another call.
            repeats = part_id == call.get("id") if part_id else index is not None
            call = call if repeats else None
        if call is None:
            call = {"function": {"arguments": ""}}
            self._calls.append(call)
        self._last_of[index] = self._last_of[None] = call
        return call


def read_stream(lines: Iterable[str]) -> Json:
    """Return the completion in the lines of an event stream.

    Raises:
        Unusable: it is none, or breaks off.
    """
    pieces = Pieces()
    for line in lines:
        name, _, data = line.partition(":")
        if name != "data" or not data.strip():
            continue
        if data.strip() == "[DONE]":
            pieces.is_whole = True
            break
        try:
            pieces.add(json.loads(data))
        except (ValueError, RecursionError):
            raise Unusable("an event of its stream is not JSON") from None
    if not pieces.is_whole:
        raise Unusable("its stream breaks off")
    return pieces.document


def _objects(value: object) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
