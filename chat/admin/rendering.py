"""What is shown of texts, JSON and bytes, whatever they hold: a beginning of bounded length."""

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

TEXT_MAX_CHARACTERS = 20_000
JSON_MAX_CHARACTERS = 8_000
BYTES_MAX = 20_000
HEX_MAX = 2_048
HEX_WIDTH = 8  # bytes a line: what a phone has room for

_UNSEEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
_BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"
_ENDS = re.compile(r"^\s+|\s+$")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Text to show. `is_cut`: there is more of it. `is_hex`: it is a dump of bytes."""

    text: str
    is_cut: bool = False
    is_hex: bool = False


def shown_text(text: str) -> Excerpt:
    """Return the beginning of a text."""
    return Excerpt(text[:TEXT_MAX_CHARACTERS], len(text) > TEXT_MAX_CHARACTERS)


def visible(name: str) -> str:
    """Write out what of a name can't be seen, or turns round what can: marks, spaces at its ends.

    Connector state writes the names of keys out likewise (connector_state.admin.presentation).
    """
    if name.isascii() and name.isprintable() and name.strip() == name:
        return name
    written = "".join(_written(c) if _is_unseen(c) else c for c in name)
    return _ENDS.sub(lambda spaces: "".join(map(_written, spaces[0])), written)


def _written(character: str) -> str:
    return f"⟨U+{ord(character):04X}⟩"


def _is_unseen(character: str) -> bool:
    return character in _BLANK_LETTERS or unicodedata.category(character) in _UNSEEN


def shown_json(value: Any, max_characters: int = JSON_MAX_CHARACTERS) -> Excerpt:
    """Return the beginning of the value as indented JSON; no more of it than that is made."""
    parts, room = [], max_characters
    encoder = json.JSONEncoder(indent=2, ensure_ascii=False)
    for part in encoder.iterencode(value):
        parts.append(part[:room])
        room -= len(part)
        if room < 0:
            return Excerpt("".join(parts), is_cut=True)
    return Excerpt("".join(parts))


def shown_bytes(raw: bytes) -> Excerpt:
    """Return the beginning of bytes: as text with escapes for what is not printed, else as hex."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return Excerpt("\n".join(_hex_lines(raw[:HEX_MAX])), len(raw) > HEX_MAX, is_hex=True)
    return Excerpt("".join(map(_visible, text[:BYTES_MAX])), len(text) > BYTES_MAX)


def _visible(character: str) -> str:
    if character.isprintable() or character in "\n\t":
        return character
    return character.encode("unicode_escape").decode()


def _hex_lines(raw: bytes) -> Iterator[str]:
    for start in range(0, len(raw), HEX_WIDTH):
        part = raw[start : start + HEX_WIDTH]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        yield f"{start:06x}  {part.hex(' '):<{3 * HEX_WIDTH - 1}}  {text}"
