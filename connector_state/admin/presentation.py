"""What a value is, and how people are shown it: bounded, and with nothing that a browser obeys.

Knows nothing of Django or Redis. Its output is plain text, for a template to escape.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

from common import strict_json
from common.visible import hex_dump, visible

TEXT_MAX_CHARS = 100_000
HEX_MAX_BYTES = 4096
JSON_MAX_DEPTH = 20  # 64 KB of brackets would nest into 25 MB
LINK_MAX_CHARS = 4096

_LINK = re.compile(r"https?://[\x21-\x7e]+", re.IGNORECASE)
_JSON_MARK = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_OPENING, _CLOSING = ("{", "["), ("}", "]")


class Kind(Enum):
    """What a value is."""

    EMPTY = "nothing: it is empty"
    LINK = "a link"
    JSON = "JSON"
    TEXT = "text"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class ShownValue:
    """A value for people to look at. `truncated`: there is more of it. `link`: where it leads."""

    kind: Kind
    text: str
    truncated: bool = False
    link: str = ""


def show(value: bytes) -> ShownValue:
    """Return how a value of any size is shown."""
    if not value:
        return ShownValue(Kind.EMPTY, "")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return _binary(value)
    if "\0" in text:
        return _binary(value)
    if _is_link(text):
        return ShownValue(Kind.LINK, text, link=text)
    if _is_json(text):
        indented, truncated = _indented(text)
        return ShownValue(Kind.JSON, visible(indented, keep="\n"), truncated)
    cut = text[:TEXT_MAX_CHARS]
    return ShownValue(Kind.TEXT, visible(cut, keep="\n\t"), len(cut) < len(text))


def survives_a_text_area(value: bytes) -> bool:
    """Whether a browser's text area gives a value back as it was.

    It turns each carriage return into a newline, and has no way to hold other controls.
    """
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return False
    return not any(c not in "\n\t" and unicodedata.category(c) == "Cc" for c in text)


def _is_link(text: str) -> bool:
    if len(text) > LINK_MAX_CHARS or not _LINK.fullmatch(text):
        return False
    try:
        return bool(urlsplit(text).hostname)
    except ValueError:
        return False


def _is_json(text: str) -> bool:
    """Whether it is an object or an array. What nests too deeply to be read is text."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        strict_json.loads(text, parse_int=str, parse_float=str)  # any number, and quickly
    except ValueError:
        return False
    return True


def _indented(text: str) -> tuple[str, bool]:
    """Indent JSON to JSON_MAX_DEPTH; return it, and whether it was cut at TEXT_MAX_CHARS.

    It works on the text, so that numbers and repeated names stay as they are stored.
    """
    parts: list[str] = []
    size = depth = 0
    before = ""
    for match in _JSON_MARK.finditer(text):
        mark = match[0]
        if mark in _CLOSING:
            depth -= 1
        part = _break(before, mark, depth) + mark + (" " if mark == ":" else "")
        if mark in _OPENING:
            depth += 1
        size += len(part)
        if size > TEXT_MAX_CHARS:
            parts.append(part[: TEXT_MAX_CHARS - size])
            return "".join(parts), True
        parts.append(part)
        before = mark
    return "".join(parts), False


def _break(before: str, mark: str, depth: int) -> str:
    """Return what goes between two marks of JSON; `depth` is that of the second one's line."""
    if mark in _CLOSING:
        breaks = before not in _OPENING and depth < JSON_MAX_DEPTH
    else:
        breaks = before in (*_OPENING, ",") and depth <= JSON_MAX_DEPTH
    if breaks:
        return "\n" + "  " * depth
    return " " if before == "," else ""


def _binary(value: bytes) -> ShownValue:
    return ShownValue(Kind.BINARY, hex_dump(value[:HEX_MAX_BYTES]), len(value) > HEX_MAX_BYTES)
