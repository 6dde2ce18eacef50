"""Tool calls that a model wrote into its text, where its server has no parser for that model.

Each kind of model has its own markup. All of them name a tool, in it or in the JSON, and give the
arguments as JSON or as tags: so one grammar of tokens reads all.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from chat.model_server.calls import json_at, named_call
from chat.model_server.instructions import tool_definitions
from chat.model_server.text.marks import BAR, STOPS
from chat.tools.tasks import TOOLS
from chat.tools.toolbox import Call
from common import strict_json

QUOTE_CHARACTERS = 48  # as far as into the arguments

_PLAIN = re.compile(
    r"(?:```(?:json)?\s*)?\[?\s*\{\s*"
    r'"(?:name|type|id|function|tool_name|tool_call_id|parameters|arguments)"'
)
_PLAIN_BEGUN = re.compile(r'(?:`{1,3}|```j?s?o?n?\s*)?\[?\s*(?:\{\s*(?:"[a-z_]*)?)?')
_PLAIN_MAX_CHARACTERS = 64

# Between calls, and between the name and the arguments of one, any markup may be.
_TOKEN = re.compile(
    rf"""
    (?P<parameter>
        <parameter(?:=|\ name=")(?P<tag>\w+)"?>(?P<value>.*?)</parameter>
        | <arg_key>(?P<key>\w+)</arg_key>\s*<arg_value>(?P<of_key>.*?)</arg_value>
    )
    | (?P<end></(?:function|tool_call|invoke)>)
    | (?P<between>
        \s+
        | <[|{BAR}][^<>|{BAR}\s]{{1,40}}[|{BAR}]>
        | </?(?:minimax:)?(?:tool_calls?|function_calls?)>
        | <function= | <invoke\ name="
        | \[(?:TOOL_CALLS|ARGS)\] | \[CALL_ID\]\w+
        | ```(?:json)?
        | [.:;,=>"]
        | {"|".join(map(re.escape, STOPS))}
        | (?:functions?|assistant|commentary|analysis|to|json|[0-9]+)\b
    )
    | (?P<name>[A-Za-z_]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)


def is_quote(markup: str, told: Iterable[str]) -> bool:
    """Return whether markup begins as something that the model was told.

    The title of a task may be markup of a call, and the model's answer may end with that title: it
    is no call of the model's.

    Args:
        told: texts of the user and of tools; those of tools are JSON.
    """
    beginning = markup.strip()[:QUOTE_CHARACTERS]
    in_json = json.dumps(beginning, ensure_ascii=False)[1:-1]
    return any(beginning in text or in_json in text for text in told)


class _Odd(Exception):
    """What stands there is no part of a call."""


def is_plain(text: str, at: int) -> bool | None:
    """Return whether a text that begins there may be calls in JSON and nothing else.

    Llama 3.2 by Ollama writes such. None: what is there may go on so.
    """
    beginning = text[at : at + _PLAIN_MAX_CHARACTERS]
    if _PLAIN.match(beginning):
        return True
    is_short = len(beginning) < _PLAIN_MAX_CHARACTERS
    return None if is_short and _PLAIN_BEGUN.fullmatch(beginning) else False


def read_calls(text: str) -> tuple[tuple[Call, ...], int]:
    """Return the calls that a text is, or none, and up to where it is no call.

    It is calls only if nothing else is there, and each is an object for a tool of ours: people may
    talk about markup, too.
    """
    reading = _Reading(text)
    try:
        reading.run()
    except _Odd:
        return (), max(reading.at, 1)
    if all(call.tool in TOOLS and isinstance(call.arguments, dict) for call in reading.found):
        return tuple(reading.found), len(text)
    return (), max(reading.end, 1)


@dataclass(slots=True)
class _Reading:
    """The calls in a text, up to where it is read.

    Attributes:
        end: of the last call.
    """

    text: str
    at: int = 0
    end: int = 0
    found: list[Call] = field(default_factory=list)
    name: str = ""
    given: dict[str, Any] = field(default_factory=dict)

    def run(self) -> None:
        """Read to the end of the text. _Odd: something else is there."""
        while self.at < len(self.text):
            if token := _TOKEN.match(self.text, self.at):
                self._take(token)
            else:
                self._take_json()
        if self.given:  # the end of the tags is missing
            self._add(self.name, self.given)
        if self.name or not self.found:
            raise _Odd

    def _take(self, token: re.Match[str]) -> None:
        if name := token["name"]:
            if self.name:
                raise _Odd
            self.name = name
        elif token["parameter"]:
            self._take_parameter(token["tag"] or token["key"], token["value"] or token["of_key"])
        self.at = token.end()
        if token["end"] and self.name:
            self._add(self.name, self.given)

    def _take_parameter(self, name: str, value: str | None) -> None:
        if not self.name or name in self.given:
            raise _Odd
        self.given[name] = _value_of((value or "").strip(), self.name, name)

    def _take_json(self) -> None:
        try:
            value, self.at = json_at(self.text, self.at)
        except ValueError:
            raise _Odd from None
        if self.given:
            raise _Odd
        if self.name:
            self._add(self.name, value)
            return
        for item in value if isinstance(value, list) else [value]:
            self._add(*_named(item))

    def _add(self, name: str, arguments: object) -> None:
        self.found.append(named_call(name, arguments))
        self.end, self.name, self.given = self.at, "", {}


def _named(item: object) -> tuple[str, object]:
    if isinstance(item, dict):
        function = item["function"] if isinstance(item.get("function"), dict) else item
        name = function.get("name", function.get("tool_name"))
        if isinstance(name, str):
            return name, function.get("arguments", function.get("parameters"))
    raise _Odd


def _value_of(text: str, tool: str, parameter: str) -> object:
    """Return a value that was given in tags, where text is text and anything else is JSON."""
    schema = _schemas().get(tool, {}).get(parameter, {})
    kinds = {kind.get("type") for kind in (schema, *schema.get("anyOf", ()))}
    if "string" in kinds and not (text == "null" and "null" in kinds):
        return text
    try:
        return strict_json.loads(text)
    except ValueError:
        return text


@cache
def _schemas() -> dict[str, dict[str, Any]]:
    functions = (definition["function"] for definition in tool_definitions())
    return {one["name"]: one["parameters"]["properties"] for one in functions}
