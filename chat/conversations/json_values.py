"""Text and JSON as conversations may hold them: checked, cleaned, and cut to size.

Refused everywhere: lone surrogates, NUL and the other C0 controls but tab and newlines, DEL, NaN
and infinities, what is no JSON at all, and nesting or numbers that other programs choke on.
"""

import json
import math
import re
from typing import Any

MAX_DEPTH = 64
MAX_INTEGER_BITS = 1024

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


def check_text(text: str) -> str:
    """Return the text.

    Raises:
        ValueError: it holds a control character or half a surrogate pair.
    """
    if found := _FORBIDDEN.search(text):
        raise ValueError(f"text must not hold the character U+{ord(found[0]):04X}")
    return text


def clean_text(text: str) -> str:
    """Return the text with U+FFFD for each character that check_text refuses."""
    return _FORBIDDEN.sub(_REPLACEMENT, text)


def check_object(value: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON object.

    Raises:
        ValueError: somewhere in it is what conversations may not hold.
    """
    _check(value, MAX_DEPTH)
    return value


def check_value(value: object) -> object:
    """Return the JSON value; raise as check_object does."""
    _check(value, MAX_DEPTH)
    return value


def _check(value: object, levels: int) -> None:
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, dict):
        _check_level(levels)
        for name, item in value.items():
            if not isinstance(name, str):
                raise ValueError("names in JSON objects must be text")
            check_text(name)
            _check(item, levels - 1)
    elif isinstance(value, list):
        _check_level(levels)
        for item in value:
            _check(item, levels - 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("numbers must be finite")
    elif isinstance(value, int):
        if value.bit_length() > MAX_INTEGER_BITS:
            raise ValueError(f"integers must fit into {MAX_INTEGER_BITS} bits")
    elif value is not None:
        raise ValueError(f"{type(value).__name__} is no JSON type")


def _check_level(levels: int) -> None:
    if levels <= 0:
        raise ValueError(f"JSON must not be nested deeper than {MAX_DEPTH}")


def encoded_size(value: object) -> int:
    """Return the bytes of the value, which check_object takes, as compact UTF-8 JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def cap_object(value: dict[str, Any], max_bytes: int) -> dict[str, Any]:
    """Return the object itself if it fits, else one that fits and says that it was cut.

    The cut one has `"truncated": true` and `"original_bytes": N` beside what still fits: the small
    members first, of a list its first items, of a text its beginning. Nested objects that don't
    fit are left out.

    Args:
        value: an object that check_object takes.
        max_bytes: of compact UTF-8 JSON, 256 at least.
    """
    size = encoded_size(value)
    if size <= max_bytes:
        return value
    capped: dict[str, Any] = {"truncated": True, "original_bytes": size}
    room = max_bytes - encoded_size(capped)
    members = [(name, item) for name, item in value.items() if name not in capped]
    for name, item in sorted(members, key=lambda member: encoded_size(member[1])):
        room_for_item = room - encoded_size(name) - len(",:")
        cut = _cut(item, room_for_item)
        if cut is not None:
            capped[name] = cut
            room = room_for_item - encoded_size(cut)
    return capped


def _cut(value: object, max_bytes: int) -> object:
    """Return as much of the value as fits, None for nothing."""
    if encoded_size(value) <= max_bytes:
        return value
    if isinstance(value, str):
        # Each byte that is cut shortens the encoded text by a byte at least, or the quotes.
        text = value.encode()[: max(max_bytes - 2, 0)].decode(errors="ignore")
        while text and encoded_size(text) > max_bytes:
            text = text[: len(text) // 2]
        return text or None
    if isinstance(value, list):
        kept: list[object] = []
        room = max_bytes - len("[]")
        for item in value:
            room -= encoded_size(item) + len(",")
            if room < 0:
                break
            kept.append(item)
        return kept or None
    return None
