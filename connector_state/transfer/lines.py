"""The lines of an export: JSON Lines with a header, one line per key, and an end with the count.

docs/export.md describes the format. No Django and no Redis here.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, BinaryIO, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from common.validation import in_words
from connector_state.errors import InvalidRequest
from connector_state.store.keys import KEY_MAX_BYTES, NAMESPACE_MAX_BYTES, Address

FORMAT, VERSION = "statekeep-export", 1
# JSON may write one byte as six characters (\u0041); the margin is for the fields' names.
MAX_ESCAPED_BYTES = 6
MARGIN_BYTES = 1024


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Header(_Line):
    """The first line. `namespace` is None in an export of all namespaces."""

    type: Literal["header"]
    format: Literal["statekeep-export"]
    version: Literal[1]
    connector: UUID
    exported_at: AwareDatetime
    namespace: str | None


class _Key(_Line):
    type: Literal["key"]
    namespace: str
    key: str
    value: str | None = None
    value_base64: str | None = None
    expires_at: AwareDatetime | None


class _End(_Line):
    type: Literal["end"]
    count: int


_KEY_OR_END: TypeAdapter[_Key | _End] = TypeAdapter(
    Annotated[_Key | _End, Field(discriminator="type")]
)


@dataclass(frozen=True, slots=True)
class ExportedKey:
    """A value with its address and its expiry (None: it never expires)."""

    address: Address
    value: bytes
    expires_at: datetime | None


def header_line(connector_uuid: str, namespace: str | None) -> bytes:
    """Return the first line of an export, with the current time."""
    return _line(
        type="header",
        format=FORMAT,
        version=VERSION,
        connector=connector_uuid,
        exported_at=_time(datetime.now(UTC)),
        namespace=namespace,
    )


def key_line(exported: ExportedKey) -> bytes:
    """Return the line of a key: a value that is not UTF-8 is written as base64."""
    try:
        value = {"value": exported.value.decode()}
    except UnicodeDecodeError:
        value = {"value_base64": base64.b64encode(exported.value).decode()}
    return _line(
        type="key",
        namespace=exported.address.namespace,
        key=exported.address.key,
        **value,
        expires_at=None if exported.expires_at is None else _time(exported.expires_at),
    )


def end_line(count: int) -> bytes:
    """Return the last line, which shows an import that the file is complete."""
    return _line(type="end", count=count)


def _line(**fields: Any) -> bytes:
    # ASCII without control characters, DEL included, so that a terminal shows it as it is.
    return json.dumps(fields).replace("\x7f", "\\u007f").encode() + b"\n"


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def read_header(file: BinaryIO) -> Header:
    """Read the first line.

    Raises:
        InvalidRequest: code `invalid_export`: the file is not an export.
    """
    line = file.readline(MAX_ESCAPED_BYTES * NAMESPACE_MAX_BYTES + MARGIN_BYTES)
    try:
        return Header.model_validate_json(line)
    except ValidationError as error:
        raise InvalidRequest(
            f"This is no export of Statekeep, version {VERSION}: line 1: {_words(error)}",
            code="invalid_export",
        ) from None


def read_keys(file: BinaryIO, max_value_bytes: int) -> Iterator[ExportedKey | str]:
    """Yield the keys after the header, and for each line that is not valid what is wrong with it.

    These words name the line's number, and never its value. A missing end line, or a wrong count in
    it, is told too, so a file of which nothing is told is complete.
    """
    line_max_bytes = MARGIN_BYTES + MAX_ESCAPED_BYTES * (
        max_value_bytes + KEY_MAX_BYTES + NAMESPACE_MAX_BYTES
    )
    count, number = 0, 1
    while line := file.readline(line_max_bytes + 1):
        number += 1
        if len(line) > line_max_bytes:
            # The rest is not read: a file without newlines would have to fit into memory.
            yield f"Line {number} is longer than any that this service exports."
            return
        try:
            read = _read_line(line, max_value_bytes)
        except (ValidationError, InvalidRequest) as error:
            count += 1
            yield f"Line {number}: {_words(error)}"
            continue
        if isinstance(read, ExportedKey):
            count += 1
            yield read
            continue
        if read.count != count:
            yield f"The file says that it has {read.count} keys, and has {count}."
        if file.read(1):
            yield f"There is more after the end, in line {number}."
        return
    yield (
        f"The file is truncated: it ends after line {number}, without the line that says how many "
        "keys it has. Export it again."
    )


def _read_line(line: bytes, max_value_bytes: int) -> ExportedKey | _End:
    read = _KEY_OR_END.validate_json(line)
    if isinstance(read, _End):
        return read
    if (read.value is None) == (read.value_base64 is None):
        raise InvalidRequest("Give either value or value_base64.")
    value = _from_base64(read.value_base64 or "") if read.value is None else read.value.encode()
    if len(value) > max_value_bytes:
        raise InvalidRequest(f"The value has more than {max_value_bytes} bytes.")
    return ExportedKey(Address(read.namespace, read.key), value, read.expires_at)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise InvalidRequest("value_base64: it is not base64.") from None


def _words(error: ValidationError | InvalidRequest) -> str:
    """Describe the first error, without the value: admin's pages and the log show the text."""
    if isinstance(error, InvalidRequest):
        return error.detail
    if error.errors(include_input=False, include_url=False)[0]["type"] == "json_invalid":
        return "it is not JSON, or cut off."
    # A line's place begins with its type, by which pydantic chose the model.
    return in_words(error).removeprefix("key.").removeprefix("end.") + "."
