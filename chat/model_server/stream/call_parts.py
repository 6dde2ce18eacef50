"""The calls of a streamed answer, put together from their parts.

Servers differ in how they say which call a part is of. An index, an id and a name may each be
missing, be there in each part, be one for several calls, or change within a call.
"""

import json
from typing import Any, NamedTuple

from chat.model_server.answers import KEPT_OF_CALL
from chat.model_server.stream.sse import is_json

Json = dict[str, Any]


class _Part(NamedTuple):
    place: int | None
    id: str
    name: object
    arguments: str


class Calls:
    """The calls so far, in order, as `tool_calls` of a whole answer."""

    def __init__(self) -> None:
        self.begun: list[Json] = []
        self._last_of: dict[object, Json] = {}  # by index, or by id; None: of all

    def add(self, given: Json) -> None:
        """Take a part in."""
        part = _part(given)
        call = self._call_of(part)
        for name in KEPT_OF_CALL:
            if given.get(name):
                call.setdefault(name, given[name])
        if part.id:
            call.setdefault("id", part.id)
        function = call["function"]
        if part.name:
            function.setdefault("name", part.name)
        if not _is_same(function["arguments"], part.arguments):
            function["arguments"] += part.arguments

    def _call_of(self, part: _Part) -> Json:
        """Return the call that a part goes on with, or a new one that it begins."""
        by_id = ("id", part.id) if part.id else None
        call = self._last_of.get(part.place)
        if by_id and (call is None or call.get("id") != part.id):
            call = self._last_of.get(by_id, call)
        if call is None and not part.id and not part.name:  # arguments alone begin nothing
            call = self._last_of.get(None)
        if call is None or (part.name and _begins_another(call, part)):
            call = {"function": {"arguments": ""}}
            self.begun.append(call)
        self._last_of |= dict.fromkeys((part.place, by_id, None), call)
        return call


def _part(given: Json) -> _Part:
    function = given["function"] if isinstance(given.get("function"), dict) else given
    arguments = function.get("arguments") or ""
    if not isinstance(arguments, str):  # whole
        arguments = json.dumps(arguments)
    part_id = str(given.get("id") or "")
    return _Part(number(given.get("index")), part_id, function.get("name"), arguments)


def _begins_another(call: Json, part: _Part) -> bool:
    """Whether a part that names a function is of the call after this one."""
    name, arguments = call["function"].get("name", part.name), call["function"]["arguments"]
    if name != part.name:
        return True
    if part.id and call.get("id", part.id) != part.id:
        # Some servers give each part an id of its own.
        return not arguments or part.place is None or is_json(arguments)
    if not part.arguments or _is_same(arguments, part.arguments):
        return False
    if part.id and arguments == "{}":  # Anthropic's first part of any arguments
        return False
    return is_json(arguments)


def _is_same(arguments: str, more: str) -> bool:
    """Whether a part has all the arguments once more, as some servers end a call."""
    # What is far shorter is a part; to read all of them for each part would make it cost more.
    given = _object(more) if 2 * len(more) >= len(arguments) else None
    return given is not None and given == _object(arguments)


def _object(arguments: str) -> Json | None:
    value: object = arguments
    for _ in range(2):  # some servers encode them twice
        if isinstance(value, str):
            try:
                value = json.loads(value, strict=False)
            except (ValueError, RecursionError):
                return None
    return value if isinstance(value, dict) else None


def number(index: object) -> int | None:
    """Return an index, which may be text."""
    if isinstance(index, str) and index.isdecimal():
        return int(index)
    return index if isinstance(index, int) else None
