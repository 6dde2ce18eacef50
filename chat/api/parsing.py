"""Read what clients send: strict JSON in, typed values out.

A request that the contract does not allow raises InvalidInput (400), InputTooLarge (413) or
UnsupportedInput (415), before anything of it reaches the database.
"""

import re
from typing import Annotated, Any, TypeVar

from django.http import HttpRequest
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from chat.conversations.json_values import check_text
from chat.conversations.state import CONVERSATION_ID
from chat.errors import InputTooLarge, InvalidInput, UnsupportedInput
from common import strict_json
from common.validation import in_words

BODY_MAX_BYTES = 262_144  # 10,000 characters, each written as two \uXXXX, and room to spare
MESSAGE_MAX_CHARACTERS = 10_000
INTEGER_ID_MAX = 2**53 - 1
KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")


def _check_id(value: object) -> object:
    # Pydantic would take True and 1.0 for integers.
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("must be an integer or a string")
    if isinstance(value, int) and not 0 <= value <= INTEGER_ID_MAX:
        raise ValueError("must be from 0 to 2^53 - 1")
    if isinstance(value, str):
        check_conversation_id(value)
    return value


def check_conversation_id(text: str) -> str:
    """Return the id.

    Raises:
        ValueError: it is not 1 to 50 letters, digits, - or _, beginning with a letter or digit.
    """
    if not re.fullmatch(CONVERSATION_ID, text, re.ASCII):
        raise ValueError(
            "must be 1 to 50 letters, digits, '-' or '_', the first a letter or a digit"
        )
    return text


def _trimmed(text: str) -> str:
    return check_text(text).strip()


def _check_length(text: str) -> str:
    if not 0 < len(text) <= MESSAGE_MAX_CHARACTERS:
        raise ValueError(f"must have 1 to {MESSAGE_MAX_CHARACTERS} characters")
    return text


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


class ChatBody(_Body):
    """The body of POST /api/{user_id}/chat: a message."""

    message: Annotated[
        str,
        AfterValidator(_trimmed),
        AfterValidator(_check_length),
        Field(json_schema_extra={"minLength": 1, "maxLength": MESSAGE_MAX_CHARACTERS}),
    ]
    conversation_id: (
        Annotated[
            Annotated[int, Field(json_schema_extra={"minimum": 0, "maximum": INTEGER_ID_MAX})]
            | Annotated[str, Field(json_schema_extra={"pattern": f"^{CONVERSATION_ID}$"})],
            BeforeValidator(_check_id),
        ]
        | None
    ) = None


class RenameBody(_Body):
    """The body of PATCH /api/{user_id}/conversations/{id}: a title."""

    title: Annotated[str, AfterValidator(_trimmed), Field(min_length=1, max_length=80)]


class LoginBody(_Body):
    """The body of POST /api/token/, a login."""

    username: Annotated[str, AfterValidator(check_text), Field(min_length=1, max_length=150)]
    password: Annotated[str, AfterValidator(check_text), Field(min_length=1, max_length=1024)]


class RefreshBody(_Body):
    """The body of POST /api/token/refresh/, for another token."""

    refresh: Annotated[str, Field(min_length=1, max_length=8192)]


Body = TypeVar("Body", bound=BaseModel)


def read_body(request: HttpRequest, kind: type[Body]) -> Body:
    """Return the request's JSON body as a model.

    Raises:
        InvalidInput: it is not JSON, or not what the model describes.
        InputTooLarge: it has more than BODY_MAX_BYTES.
        UnsupportedInput: its Content-Type is another one.
    """
    if "HTTP_TRANSFER_ENCODING" in request.META:
        raise InvalidInput("Send the body with a Content-Length.", code="length_required")
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isascii() or not length.isdecimal() or int(length) > BODY_MAX_BYTES:
        raise InputTooLarge(f"The body may have at most {BODY_MAX_BYTES} bytes.")
    if request.content_type != "application/json":
        raise UnsupportedInput()
    data = _parse(request.body)
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise InvalidInput(f"{in_words(error, kind.model_fields, whole='The body')}.") from None


def _parse(raw: bytes) -> Any:
    try:
        return strict_json.loads(raw.decode(), object_pairs_hook=strict_json.unique_names)
    except ValueError:
        raise InvalidInput("The body must be a JSON object.", code="invalid_json") from None


def read_idempotency_key(request: HttpRequest) -> str | None:
    """Return the Idempotency-Key, or None if the request has none.

    Raises:
        InvalidInput: it is not 1 to 255 printable ASCII characters.
    """
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return None
    if not KEY.fullmatch(key):
        raise InvalidInput(
            "Idempotency-Key must be 1 to 255 printable ASCII characters.",
            code="invalid_idempotency_key",
        )
    return str(key)


def read_search(request: HttpRequest) -> str:
    """Return `?search=`, or "".

    Raises:
        InvalidInput: no title can contain it.
    """
    text = request.GET.get("search", "")
    try:
        check_text(text)
    except ValueError as error:
        raise InvalidInput(f"search {error}.", code="invalid_search") from None
    return text.strip()


def read_limit(request: HttpRequest, default: int, maximum: int) -> int:
    """Return `?limit=`, or the default if the query has none.

    Raises:
        InvalidInput: it is not a number from 1 to the maximum.
    """
    text = request.GET.get("limit", str(default))
    if not re.fullmatch("[0-9]{1,6}", text, re.ASCII) or not 1 <= int(text) <= maximum:
        raise InvalidInput(f"limit must be from 1 to {maximum}.", code="invalid_limit")
    return int(text)
