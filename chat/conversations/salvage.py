"""The messages that can still be read in a document that is no conversation."""

import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from chat.conversations.state import (
    ConversationKey,
    ConversationState,
    InvalidConversation,
    MessageEntry,
    decode,
)
from common import strict_json
from common.validation import in_words

FAILURES_MAX = 100  # each may have read far, and operators wait for it

_FIELDS = frozenset(MessageEntry.model_fields)
_MESSAGE = re.compile(rf'\{{\s*"(?:{"|".join(_FIELDS)})"\s*:')
_ID = re.compile(r'"(user_id|conversation_id)"\s*:\s*("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What a document still holds: a conversation, and in words each part of it that is lost."""

    state: ConversationState
    lost: list[str]


def salvage(raw: bytes, empty: ConversationState, key: ConversationKey) -> Salvaged:
    """Return the messages in `raw` that can be read, in the order in which they are there.

    Args:
        raw: what is stored under the key, damaged anywhere.
        empty: the conversation to put them into, unless that of `raw` can be read without them.

    Raises:
        InvalidConversation: it names another user or conversation, to whom its messages belong.
    """
    # Bytes that are no text become characters that no message may hold.
    text = raw.decode(errors="surrogateescape")
    try:
        document = strict_json.loads(text)
    except ValueError:
        return _from_pieces(text, empty, key)
    if not isinstance(document, dict):
        return Salvaged(empty, ["It is JSON, but no object."])
    _check_ids(document, key)
    entries = document.get("messages")
    found, lost = _readable(entries if isinstance(entries, list) else [])
    if not isinstance(entries, list):
        lost.append("It has no list of messages.")
    try:
        rest = decode(json.dumps(document | {"messages": []}).encode(), key)
    except InvalidConversation as invalid:
        rest = empty
        lost.append(f"Its own fields are made new: {invalid.reason}.")
    return Salvaged(rest.model_copy(update={"messages": found}), lost)


def _from_pieces(text: str, empty: ConversationState, key: ConversationKey) -> Salvaged:
    """Look for whole messages in a text that is not JSON as a whole."""
    _check_ids({name: json.loads(value) for name, value in reversed(_ID.findall(text))}, key)
    found: list[MessageEntry] = []
    lost = ["The document is cut off or damaged; nobody knows how much is missing."]
    decoder, at = json.JSONDecoder(), 0
    while (match := _MESSAGE.search(text, at)) and len(lost) <= FAILURES_MAX:
        try:
            entry, at = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            lost.append(f"What begins at character {match.start():,} is no whole message.")
            at = match.start() + 1
            continue
        messages, problems = _readable([entry])
        found += messages
        lost += problems
    return Salvaged(empty.model_copy(update={"messages": found}), lost)


def _readable(entries: list[Any]) -> tuple[list[MessageEntry], list[str]]:
    """Return the entries that are messages, and what is wrong with each of the others."""
    found, lost = [], []
    for number, entry in enumerate(entries, 1):
        try:
            found.append(MessageEntry.model_validate_json(json.dumps(entry)))
        except ValidationError as error:
            lost.append(f"Message {number}: {in_words(error, _FIELDS)}.")
        except (ValueError, RecursionError):
            lost.append(f"Message {number}: it is nested too deeply.")
    return found, lost


def _check_ids(fields: dict[str, Any], key: ConversationKey) -> None:
    """Refuse the ids of another conversation; other kinds of values are no ids at all."""
    for name in ("user_id", "conversation_id"):
        found = fields.get(name)
        if isinstance(found, str) and found != getattr(key, name):
            raise InvalidConversation("it names another user or conversation than its key")
