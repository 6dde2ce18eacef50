"""The stored form of a conversation: the contract's payload, its key, and its bytes.

Contract: dapr-state-chat.md, "State Payload Schema". A message has one optional field more,
`turn_id`, which other readers of the contract ignore. Fields that we don't know are kept: they
belong to another writer.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
)

from chat.conversations.json_values import check_object, check_text, check_value
from common.validation import in_words

CONVERSATION_ID = r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}"
USER_ID_MAX_CHARACTERS = 255

# No character takes more in JSON (as \uXXXX), nor do the other fields of a message, or of a
# conversation (its ids have a maximum).
_CHARACTER_BYTES = 6
_ENVELOPE_BYTES = 256 + _CHARACTER_BYTES * USER_ID_MAX_CHARACTERS

# Cursors and the arithmetic of times reach from here to there.
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(5000, 1, 1, tzinfo=UTC)


class InvalidConversation(ValueError):
    """The bytes are no conversation. `reason` says in one line why, without quoting them."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _in_utc(value: datetime, info: ValidationInfo) -> datetime:
    """Return a time in UTC. One that is stored without a zone is in UTC already."""
    if value.tzinfo is None:
        if info.mode != "json":
            raise ValueError("must have a time zone")  # a bug of ours
        value = value.replace(tzinfo=UTC)
    if not _EARLIEST <= value < _LATEST:
        raise ValueError("must be from 1970 to 4999")
    return value.astimezone(UTC)


def format_timestamp(value: datetime) -> str:
    """Return an aware datetime as RFC 3339 in UTC, with Z."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


Text = Annotated[str, AfterValidator(check_text)]
JSONObject = Annotated[dict[str, Any], AfterValidator(check_object)]
# As the contract's `datetime`: text with or without a zone, or seconds since 1970.
Timestamp = Annotated[
    datetime,
    Field(strict=False),
    AfterValidator(_in_utc),
    PlainSerializer(format_timestamp, return_type=str),
]


class _Payload(BaseModel):
    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="allow",
        revalidate_instances="always",
        hide_input_in_errors=True,
    )

    # Fields that we don't know are checked, too: they are stored again.
    __pydantic_extra__: dict[Text, Annotated[Any, AfterValidator(check_value)]]


class ToolCallInfo(_Payload):
    """One call of a tool, with the real parameters and result."""

    tool: Text
    parameters: JSONObject
    result: JSONObject


class MessageEntry(_Payload):
    """One message. `turn_id` is that of the turn it belongs to, None for one of another writer.

    `stopped`: a reply that its user has cut short.
    """

    role: Literal["user", "assistant"]
    content: Text
    timestamp: Timestamp
    tool_calls: list[ToolCallInfo] | None = None
    turn_id: Text | None = Field(default=None, exclude_if=lambda turn_id: turn_id is None)
    stopped: bool = Field(default=False, exclude_if=lambda stopped: not stopped)


class ConversationState(_Payload):
    """A conversation: the document under one key.

    `messages` are in the order in which their turns were accepted, oldest first.
    """

    conversation_id: str = Field(pattern=f"^{CONVERSATION_ID}$")
    user_id: Annotated[Text, Field(min_length=1, max_length=USER_ID_MAX_CHARACTERS)]
    created_at: Timestamp
    updated_at: Timestamp
    messages: list[MessageEntry]


@dataclass(frozen=True, slots=True)
class ConversationKey:
    """The user and the id of a conversation. `str()` of it is the contract's state key.

    A conversation id holds no ":", so no two pairs make one key.
    """

    user_id: str
    conversation_id: str

    def __post_init__(self) -> None:
        if not re.fullmatch(CONVERSATION_ID, self.conversation_id):
            raise ValueError("a conversation id is 1 to 50 letters, digits, - or _")
        if not 0 < len(self.user_id) <= USER_ID_MAX_CHARACTERS:
            raise ValueError(f"a user id is 1 to {USER_ID_MAX_CHARACTERS} characters")
        check_text(self.user_id)

    def __str__(self) -> str:
        return f"chat:{self.user_id}:{self.conversation_id}"


def reads_as_integer(conversation_id: str) -> bool:
    """Return whether a client that sent an integer may have meant this id."""
    return bool(re.fullmatch("0|[1-9][0-9]{0,15}", conversation_id, re.ASCII)) and (
        int(conversation_id) < 2**53
    )


def key_of(state: ConversationState) -> ConversationKey:
    """Return the key under which the conversation is stored."""
    return ConversationKey(state.user_id, state.conversation_id)


def new_conversation(key: ConversationKey, now: datetime) -> ConversationState:
    """Return an empty conversation that begins now (aware)."""
    return ConversationState(
        conversation_id=key.conversation_id,
        user_id=key.user_id,
        created_at=now,
        updated_at=now,
        messages=[],
    )


def decode(raw: bytes, key: ConversationKey) -> ConversationState:
    """Read what is stored under the key.

    Raises:
        InvalidConversation: it isn't a conversation of the contract, or it is another one's.
    """
    try:
        state = ConversationState.model_validate_json(raw)
    except ValidationError as error:
        raise InvalidConversation(in_words(error, _FIELDS)) from None
    if (state.user_id, state.conversation_id) != (key.user_id, key.conversation_id):
        raise InvalidConversation("it names another user or conversation than its key")
    return state


def encode(state: ConversationState) -> bytes:
    """Return the bytes to store: compact JSON in UTF-8.

    Raises:
        InvalidConversation: the state holds what decode would refuse.
    """
    try:
        return ConversationState.model_validate(state).model_dump_json().encode()
    except ValidationError as error:
        raise InvalidConversation(in_words(error, _FIELDS)) from None


def encoded_size(state: ConversationState) -> int:
    """Return how many bytes encode makes of the state."""
    return len(state.model_dump_json().encode())


def encoded_size_at_most(state: ConversationState) -> int:
    """Return an upper bound of encoded_size, for a small part of its price."""
    # Only what has more than text in it is encoded for it.
    if state.model_extra:
        return encoded_size(state)
    return _ENVELOPE_BYTES + sum(map(_message_size_at_most, state.messages))


def _message_size_at_most(message: MessageEntry) -> int:
    if message.tool_calls or message.model_extra:
        return encoded_message_sizes([message])[0]
    characters = len(message.content) + len(message.turn_id or "")
    return _ENVELOPE_BYTES + _CHARACTER_BYTES * characters


def encoded_message_sizes(messages: Sequence[MessageEntry]) -> list[int]:
    """Return the bytes of each message as encode writes it, its comma included."""
    return [len(message.model_dump_json().encode()) + len(",") for message in messages]


_FIELDS = frozenset(
    name for model in (ConversationState, MessageEntry, ToolCallInfo) for name in model.model_fields
)
