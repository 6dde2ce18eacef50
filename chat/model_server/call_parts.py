"""The calls of a streamed answer, put together from their parts."""

import json
from typing import Any

from chat.model_server.answers import KEPT_OF_CALL
from chat.model_server.sse import is_json

Json = dict[str, Any]


class Calls:
    """The calls so far, in order, as `tool_calls` of a whole answer."""

    def __init__(self) -> None:
        self.begun: list[Json] = []
        self._last_of: dict[object, Json] = {}  # by index, or by id; None: of all

    def add(self, part: Json) -> None:
        """Take a part in."""
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
        index, part_id = number(part.get("index")), str(part.get("id") or "")
        by_id = ("id", part_id) if part_id else None
        call = self._last_of.get(by_id if index is None and by_id in self._last_of else index)
        if call is not None and function.get("name") and "name" in call["function"]:
            call = call if _goes_on(call, part_id, has_index=index is not None) else None
        if call is None:
            call = {"function": {"arguments": ""}}
            self.begun.append(call)
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


def number(index: object) -> int | None:
    """Return an index, which may be text."""
    if isinstance(index, str) and index.isdecimal():
        return int(index)
    return index if isinstance(index, int) else None
