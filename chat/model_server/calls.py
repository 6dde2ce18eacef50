"""The name and the arguments of a tool call, as models write them."""

import json
import re
from collections.abc import Iterator

from chat.conversations.json_values import clean_text
from chat.tools.tasks import TOOLS
from chat.tools.toolbox import Call
from common import strict_json

VALUES_MAX = 32  # in the text of one call's arguments

_WORD = re.compile(r"\w+")


def named_call(name: str, arguments: object) -> Call:
    """Return the call of a tool, which may be none of ours."""
    return Call(tool_of(clean_text(name)), arguments_of(arguments))


def tool_of(name: str) -> str:
    """Return the tool in a name: models write "functions.add_task:0", "add_task<|channel|>json"."""
    known = {word for word in _WORD.findall(name) if word in TOOLS}
    return known.pop() if len(known) == 1 else name


def arguments_of(given: object) -> object:
    """Return the arguments, parsed; text that can't be as it is, for the toolbox to refuse."""
    if isinstance(given, str):
        try:
            given = _value_of(given)
        except (ValueError, RecursionError):
            return clean_text(str(given))
    try:
        json.dumps(given, ensure_ascii=False).encode()  # half a surrogate pair can't be stored
    except (ValueError, RecursionError):
        return "nested too deeply, or not Unicode"
    return {} if given in (None, []) else given


def json_at(text: str, at: int) -> tuple[object, int]:
    """Return the JSON value that begins there, and where it ends. ValueError: none does."""
    # Models write line breaks into texts as they are.
    return strict_json.loads_at(text, at, strict=False, object_pairs_hook=strict_json.unique_names)


def _value_of(text: str) -> object:
    """Return the value of a JSON text; of several ones the only one that says something.

    LiteLLM writes `{}` before what Anthropic's models give, and other servers repeat the whole.
    """
    said = {json.dumps(value, sort_keys=True): value for value in _values(text) if value != {}}
    if len(said) > 1:
        raise ValueError("values that differ")
    return next(iter(said.values()), {})


def _values(text: str, layers: int = 2) -> Iterator[object]:
    """Yield the JSON values in a text, one after the other; some servers encode them twice."""
    for _ in range(VALUES_MAX):
        text = text.lstrip()
        if not text:
            return
        value, end = json_at(text, 0)
        if isinstance(value, str) and layers > 1:
            yield from _values(value, layers - 1)
        else:
            yield value
        text = text[end:]
    raise ValueError("too many values")
