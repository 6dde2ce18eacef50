"""What a server says, without what was sent to it: servers quote the conversation, and the key."""

import re
from collections.abc import Iterable, Iterator

QUOTE_MIN_CHARACTERS = 8  # shorter runs that both sides have are words of the language
ESCAPED_MAX = 24  # characters that one may be written in: "\\ud83d\\ude00", escaped once more

_KEY = re.compile(r"\b(?:sk|pk|key|gsk|xai)-[\w*-]{8,}")
_ESCAPES = re.compile(r"""(?:\\+x[0-9a-fA-F]{2})+|\\+u([0-9a-fA-F]{4})|\\+([nrt"'/])""")
_BYTE = re.compile(r"x([0-9a-fA-F]{2})")


def redacted(text: str, sent: Iterable[str], max_characters: int) -> str:
    """Return the beginning of a text in one line, with "…" for each run that was sent.

    Args:
        sent: whatever may be quoted.
    """
    texts = {" ".join(one.split()).casefold() for one in sent} - {""}
    beginning = _unescaped(text[: 2 * ESCAPED_MAX * max_characters])
    beginning = beginning[: 2 * max_characters]  # so that no run is cut where it isn't recognised
    text = _KEY.sub("…", " ".join(beginning.split()))
    if len(text.casefold()) != len(text):  # a few letters become two: positions would differ
        text = text.casefold()
    quoted = [False] * len(text)
    for start, end in _quoted(text.casefold(), texts):
        quoted[start:end] = [True] * (end - start)
    kept = "".join("\0" if is_quoted else c for c, is_quoted in zip(text, quoted, strict=True))
    kept = re.sub("\0+", "…", kept)
    return kept if len(kept) <= max_characters else kept[:max_characters] + "…"


def _unescaped(text: str) -> str:
    r"""Return the text without escapes: proxies quote JSON, or Python's repr, in text.

    Unescaped, "\u0436" is found in what was sent, where it is "ж".
    """
    text = _ESCAPES.sub(_character, text)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _character(escape: re.Match[str]) -> str:
    if escape[1]:
        return chr(int(escape[1], 16))
    if escape[2]:
        return escape[2] if escape[2] in "\"'/" else " "
    written = bytes(int(byte, 16) for byte in _BYTE.findall(escape[0]))
    try:
        return written.decode()
    except UnicodeDecodeError:
        return written.decode("latin-1")


def _quoted(text: str, sent: set[str]) -> Iterator[tuple[int, int]]:
    """Yield the places in the text that were sent; short texts count as whole words."""
    for one in sent:
        if len(one) < QUOTE_MIN_CHARACTERS:
            for found in re.finditer(rf"(?<!\w){re.escape(one)}(?!\w)", text):
                yield found.span()
            continue
        for start in range(len(text) - QUOTE_MIN_CHARACTERS + 1):
            if text[start : start + QUOTE_MIN_CHARACTERS] in one:
                yield start, start + QUOTE_MIN_CHARACTERS
