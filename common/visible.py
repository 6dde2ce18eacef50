"""Text that others chose, made safe to look at: nothing hides in it, and no terminal obeys it."""

import re
import unicodedata

ESCAPED_MAX_CHARACTERS = len("⟨U+10FFFF⟩")

_UNSEEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}  # Unicode's general categories
_SPACE = "Zs"
_BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"  # letters by category, and still blank
_AMBIGUOUS_SPACES = re.compile(r"^ +| +$| {2,}")


def visible(text: str, keep: str = "") -> str:
    """Return text with what can't be seen, or changes direction, written out as ⟨U+202E⟩.

    Args:
        keep: characters that stay as they are, such as newlines.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_written(c) if c not in keep and _is_unseen(c) else c for c in text)


def visible_name(text: str) -> str:
    """Return a name with all that could hide in it written out.

    Beside what `visible` writes out, these are spaces at the ends or next to each other, and every
    space that is not the ASCII one. So two different names never look alike because of what can't
    be seen, and no name looks empty.
    """
    if not text.isascii() or not text.isprintable():
        text = "".join(_written(c) if _is_unseen(c) or _is_odd_space(c) else c for c in text)
    return _AMBIGUOUS_SPACES.sub(lambda spaces: _written(" ") * len(spaces[0]), text)


def printable(text: str, keep: str = "") -> str:
    r"""Return text with what a terminal would obey escaped as Python does: \x1b, \n, \u202e.

    Args:
        keep: characters that stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )


def hex_dump(raw: bytes, width: int = 16, offset_digits: int = 8) -> str:
    """Return lines of offset, bytes in hexadecimal, and those of them that are printable ASCII.

    Args:
        width: bytes in a line.
        offset_digits: of the offset at the beginning of a line.
    """
    lines = []
    for offset in range(0, len(raw), width):
        part = raw[offset : offset + width]
        letters = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        lines.append(f"{offset:0{offset_digits}x}  {part.hex(' '):<{3 * width - 1}}  {letters}")
    return "\n".join(lines)


def _written(character: str) -> str:
    return f"⟨U+{ord(character):04X}⟩"


def _is_unseen(character: str) -> bool:
    return character in _BLANK_LETTERS or unicodedata.category(character) in _UNSEEN


def _is_odd_space(character: str) -> bool:
    return character != " " and unicodedata.category(character) == _SPACE
