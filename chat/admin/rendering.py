"""What is shown of texts, JSON and bytes, whatever they hold: a beginning of bounded length."""

import json
from dataclasses import dataclass
from typing import Any

from common.visible import hex_dump, printable

TEXT_MAX_CHARACTERS = 20_000
JSON_MAX_CHARACTERS = 8_000
BYTES_MAX = 20_000
HEX_MAX = 2_048
HEX_WIDTH = 8  # bytes a line: what a phone has room for


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Text to show. `is_cut`: there is more of it. `is_hex`: it is a dump of bytes."""

    text: str
    is_cut: bool = False
    is_hex: bool = False


def shown_text(text: str, max_characters: int = TEXT_MAX_CHARACTERS) -> Excerpt:
    """Return the beginning of a text."""
    return Excerpt(text[:max_characters], len(text) > max_characters)


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
        dump = hex_dump(raw[:HEX_MAX], HEX_WIDTH, offset_digits=6)
        return Excerpt(dump, len(raw) > HEX_MAX, is_hex=True)
    return Excerpt(printable(text[:BYTES_MAX], keep="\n\t"), len(text) > BYTES_MAX)
