"""What a model's server says about a request that it refuses: what helps, and a line for a log."""

import json
import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from chat.model_server.answers import THOUGHTS, Unusable, read_document
from chat.model_server.messages import SIGNATURE
from chat.model_server.redaction import redacted
from common.visible import printable

RETRY_PAUSE_SECONDS = 0.5
CODE_MAX_CHARACTERS = 64
MESSAGE_MAX_CHARACTERS = 300

_TOO_LONG = re.compile(
    r"(?i)context[ _-]?(?:length|size|window|limit)|maximum context|too many tokens"
    r"|reduce the length|(?:request|input|prompt)[a-z ]* too (?:large|long)"
)
# Of what is counted by the minute, too, when it comes with a 429.
_EXCEEDS = re.compile(
    r"(?i)tokens?\b.{0,80}(?:exceed|must be <=|maximum|limit)|exceed.{0,80}\btokens?\b"
    r"|(?:prompt|input|model) length|max[a-z]* length|length of (?:the )?(?:prompt|input)"
)

_TEMPORARY_STATUS = frozenset({408, 409, 424, 425, 429, 498})
_PERMANENT_STATUS = frozenset({501, 505, 510, 511})
# Anthropic's, in streams; OpenAI's, with status 200; and Groq's, with a 400, for calls that its
# model wrote wrongly.
_TEMPORARY_CODE = re.compile(
    r"(?i)overloaded|rate_limit|api_error|server_error|unavailable|time_?out"
    r"|tool_use_failed|output_parse_failed"
)
# vLLM's, with a 400, for an answer that its model wrote wrongly.
_WRITTEN_WRONGLY = re.compile(r"(?i)unexpected tokens remaining in message header")
# What an answer that has begun with 200 may say and would say again. Other errors there are of the
# moment: the request had been taken.
_PERMANENT_CODE = re.compile(
    r"(?i)invalid|auth|permission|denied|forbidden|not_?found|quota|billing|content|policy|filter"
    r"|unsupported|[45][0-9]{2}"
)
_CONVERSATION_STATUS = frozenset({400, 422})
# llama.cpp answers 500 where the model's template does not take the conversation.
_TEMPLATE = re.compile(r"(?i)jinja|chat.?template|single tool.?calls?\b|roles must alternate")
_NOT_TAKEN = re.compile(
    r"(?i)not (?:permitted|allowed|supported)|unsupported|un(?:known|expected|recognized)"
    r"|additional propert|extra"
)


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


def failure_of(
    status: int, body: bytes, sent: Iterable[str], pause_seconds: float = RETRY_PAUSE_SECONDS
) -> ServerFailed:
    """Return what a refusal means, in the server's words but without the conversation.

    Args:
        sent: the texts of the request, and the key.
        pause_seconds: before the request is sent once more, should that help.
    """
    code, message = read_refusal(body)
    has_begun = status == HTTPStatus.OK
    if has_begun and re.fullmatch("[45][0-9]{2}", code):
        status = int(code)  # OpenRouter and others answer 200, and say here what it was
    reason = in_words(status, code, message, sent)
    if form := _other_form(status, code, message):
        return form(reason, status)
    if _is_temporary(status, code, message) or (has_begun and not _PERMANENT_CODE.search(code)):
        return ServerFailed(reason, status, pause_seconds)
    return (ConversationRefused if status in _CONVERSATION_STATUS else ServerFailed)(reason, status)


def _other_form(status: int, code: str, message: str) -> type[OtherWanted] | None:
    if is_too_long(status, code, message):
        return ContextTooLong
    if THOUGHTS in message and not _NOT_TAKEN.search(f"{code} {message}"):
        return ThoughtsWanted
    if SIGNATURE in message:
        return SignaturesWanted
    return ConversationRefused if _TEMPLATE.search(message) else None


def _is_temporary(status: int, code: str, message: str) -> bool:
    return bool(
        status in _TEMPORARY_STATUS
        or (status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in _PERMANENT_STATUS)
        or _TEMPORARY_CODE.search(code)
        or _WRITTEN_WRONGLY.search(message)
    )


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
    sent = set(sent)
    parts = (
        redacted(code, sent, CODE_MAX_CHARACTERS),
        redacted(message, sent, MESSAGE_MAX_CHARACTERS),
    )
    said = ": ".join(printable(part) for part in parts if part)
    return f"HTTP {status} ({said})" if said else f"HTTP {status}"


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
