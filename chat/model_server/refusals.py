"""What a model's server says about a request that it refuses, fit for a log.

Servers quote what was sent to them, so whatever occurs in the request is cut out.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from chat.model_server.answers import Unusable, read_document
from common.visible import printable

RETRY_PAUSE_SECONDS = 0.5
CODE_MAX_CHARACTERS = 64
MESSAGE_MAX_CHARACTERS = 300
QUOTE_MIN_CHARACTERS = 8  # shorter runs that both sides have are words of the language

_TOO_LONG = re.compile(
    r"(?i)context[ _-]?(?:length|size|window|limit)|maximum context|too many tokens"
    r"|reduce the length|(?:request|input|prompt)[a-z ]* too (?:large|long)"
)
# Of what is counted by the minute, too, when it comes with a 429.
_EXCEEDS = re.compile(
    r"(?i)tokens?\b.{0,80}(?:exceed|must be <=|maximum|limit)|exceed.{0,80}\btokens?\b"
    r"|(?:prompt|input|model) length|max[a-z]* length|length of (?:the )?(?:prompt|input)"
)
_KEY = re.compile(r"\b(?:sk|pk|key|gsk|xai)-[\w*-]{8,}")


class Refused(Exception):
    """The server answered with an HTTP status that is not of success.

    `body` may be cut off. `retry_after` is the header, None without it.
    """

    def __init__(self, status: int, body: bytes, retry_after: str | None) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.body = body
        self.retry_after = retry_after


class ServerFailed(Exception):
    """The server gave no answer that can be used.

    The text says why, for a log: it has nothing of the conversation. `status` is that of HTTP, 0
    without one. `pause_seconds`: after which it may be asked again; infinity: don't.
    """

    def __init__(self, reason: str, status: int = 0, pause_seconds: float = math.inf) -> None:
        super().__init__(reason)
        self.status = status
        self.pause_seconds = pause_seconds


class NotConnected(ServerFailed):
    """There is no connection to the server, or it broke."""


class OtherWanted(ServerFailed):
    """The server may take the same conversation in another form."""


class ContextTooLong(OtherWanted):
    """The request exceeds what the model takes."""


class ThoughtsWanted(OtherWanted):
    """DeepSeek wants what the model thought beside each of its messages, of old ones too."""


class SignaturesWanted(OtherWanted):
    """Gemini wants the signature that it gave a call, which a repeat does not have any more."""


class ConversationRefused(OtherWanted):
    """Something in the request is refused; it does not say what, or in words that are not known."""


def check_for_error(document: dict[str, Any]) -> None:
    """Raise Refused if an answer with status 200 tells of an error."""
    if error := _error_in(document):
        raise Refused(HTTPStatus.OK, json.dumps({"error": error}).encode(), None)


def _error_in(document: dict[str, Any]) -> object:
    choices = document.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("finish_reason") == "error":
            return (
                choice.get("error") or document.get("error") or {"message": "finish_reason: error"}
            )
        if isinstance(choice, dict) and choice.get("error"):
            return choice["error"]
    if error := document.get("error"):
        return error
    is_one = "error" in (document.get("object"), document.get("type"))  # which may be anything
    if is_one or ("choices" not in document and isinstance(document.get("message"), str)):
        return document
    return None


def read_refusal(body: bytes) -> tuple[str, str]:
    """Return the code and the message of an error's body, "" for what it does not have."""
    try:
        document = read_document(body)
    except Unusable:
        return "", ""
    error = document.get("error")
    if isinstance(error, str):
        return "", error
    error = error if isinstance(error, dict) else document
    code = error.get("code") or error.get("type") or ""
    message = error.get("message") or error.get("msg") or ""
    metadata = error.get("metadata")  # OpenRouter's, with what the server behind it said
    if isinstance(metadata, dict) and isinstance(raw := metadata.get("raw"), str):
        message = f"{message}: {raw}"
    detail = error.get("detail")  # FastAPI's, which has the input beside the message
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        code, message = detail[0].get("type"), f"{detail[0].get('loc')}: {detail[0].get('msg')}"
    elif isinstance(detail, str):
        message = message or detail
    return (
        str(code) if isinstance(code, str | int) else "",
        message if isinstance(message, str) else "",
    )


def is_too_long(status: int, code: str, message: str) -> bool:
    """Whether a server refused a request because it exceeds the model's context."""
    text = f"{code} {message}"
    if status == 413 or _TOO_LONG.search(text):
        return True
    return status not in {401, 403, 404, 429} and bool(_EXCEEDS.search(text))


def in_words(status: int, code: str, message: str, sent: Iterable[str]) -> str:
    """Return a refusal in one line, bounded and escaped.

    Args:
        sent: the texts of the request, and the key: what occurs in them is left out.
    """
    texts = {" ".join(text.split()).casefold() for text in sent} - {""}
    parts = (
        _without(code, texts, CODE_MAX_CHARACTERS),
        _without(message, texts, MESSAGE_MAX_CHARACTERS),
    )
    said = ": ".join(printable(part) for part in parts if part)
    return f"HTTP {status} ({said})" if said else f"HTTP {status}"


def _without(text: str, sent: set[str], max_characters: int) -> str:
    """Return the beginning of a text, with "…" for each run of characters that was sent."""
    beginning = text[: 2 * max_characters]  # so that no run is cut where it can't be recognised
    text = _KEY.sub("…", " ".join(beginning.split()))
    if len(text.casefold()) != len(text):  # a few letters become two: positions would differ
        text = text.casefold()
    quoted = [False] * len(text)
    for start, end in _quoted(text.casefold(), sent):
        quoted[start:end] = [True] * (end - start)
    kept = "".join("\0" if is_quoted else c for c, is_quoted in zip(text, quoted, strict=True))
    kept = re.sub("\0+", "…", kept)
    return kept if len(kept) <= max_characters else kept[:max_characters] + "…"


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


def retry_pause(header: str | None) -> float:
    """Return the seconds to wait for a Retry-After: a number or a date; infinity if neither."""
    if not header:
        return RETRY_PAUSE_SECONDS
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
        except ValueError:
            return math.inf
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return max(seconds, RETRY_PAUSE_SECONDS) if math.isfinite(seconds) else math.inf
