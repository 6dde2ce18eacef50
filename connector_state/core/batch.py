"""The body of a batch: up to 100 operations on the keys of one namespace."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from common import strict_json
from connector_state.core.bodies import refusal
from connector_state.core.parameters import TTL_MAX_SECONDS, etag_condition
from connector_state.errors import Corrupt, InvalidRequest, ValueTooLarge
from connector_state.store.keys import Address
from connector_state.store.operations import Condition, Deleted, Entry, Operation, Result, Written

MAX_OPERATIONS = 100

ETag = Annotated[str, StringConstraints(max_length=64)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BatchOperation(_Body):
    """One operation, as it is sent."""

    op: Literal["get", "put", "delete"]
    key: str
    value: str | None = None
    ttl: int | None = Field(default=None, ge=1, le=TTL_MAX_SECONDS)
    if_match: ETag | None = None
    if_none_match: ETag | None = None


class Batch(_Body):
    """The body, as it is sent."""

    operations: list[BatchOperation] = Field(min_length=1, max_length=MAX_OPERATIONS)


def read_batch(body: bytes, namespace: str, max_value_bytes: int) -> list[Operation]:
    """Return the operations of a batch's JSON body.

    Raises:
        InvalidRequest, ValueTooLarge: naming the operation that is at fault.
    """
    _check_names(body)
    try:
        batch = Batch.model_validate_json(body)
    except ValidationError as error:
        raise refusal(error, "invalid_batch") from None
    operations = [
        _operation(number, sent, namespace, max_value_bytes)
        for number, sent in enumerate(batch.operations)
    ]
    if len({operation.address for operation in operations}) < len(operations):
        raise InvalidRequest("A batch may name each key once.", code="invalid_batch")
    return operations


def _check_names(body: bytes) -> None:
    """Refuse a name that is repeated: pydantic takes the last, which may lack a condition."""
    try:
        strict_json.loads(body.decode(), object_pairs_hook=strict_json.unique_names)
    except strict_json.RepeatedName:
        raise InvalidRequest(
            "The body names a field of an object twice; send each once.", code="invalid_batch"
        ) from None
    except ValueError:  # never left to pydantic, which may take it, names and all
        raise InvalidRequest("The body must be JSON.", code="invalid_batch") from None


def _operation(
    number: int, sent: BatchOperation, namespace: str, max_value_bytes: int
) -> Operation:
    where = f"operations.{number}"
    allowed = {"get": set(), "delete": {"if_match", "if_none_match"}}.get(
        sent.op, {"value", "ttl", "if_match", "if_none_match"}
    )
    if surplus := sent.model_fields_set - {"op", "key"} - allowed:
        raise InvalidRequest(
            f"{where}: a {sent.op} takes no {', '.join(sorted(surplus))}.", code="invalid_batch"
        )
    if sent.op == "put" and sent.value is None:
        raise InvalidRequest(f"{where}: a put needs a value.", code="invalid_batch")
    value = (sent.value or "").encode()
    if len(value) > max_value_bytes:
        raise ValueTooLarge(f"{where}: a value may have at most {max_value_bytes} bytes.")
    return Operation(
        sent.op, Address(namespace, sent.key), value, sent.ttl, _condition(where, sent)
    )


def _condition(where: str, sent: BatchOperation) -> Condition:
    def read(name: str, etag: str | None) -> str:
        return "" if etag is None else etag_condition(f"{where}.{name}", etag)

    return Condition(
        if_match=read("if_match", sent.if_match),
        if_none_match=read("if_none_match", sent.if_none_match),
    )


def result_json(operation: Operation, result: Result) -> dict[str, Any]:
    """Return what a batch answers for one operation."""
    answer: dict[str, Any] = {"key": operation.address.key}
    match result:
        case Entry():
            answer |= {"etag": result.etag, "ttl": result.ttl_seconds}
            try:
                answer["value"] = result.text
            except Corrupt as corrupt:  # the others were read, and the writes are done
                answer |= {"value": None, "code": corrupt.code}
        case Written():
            answer |= {"etag": result.etag}
        case Deleted():
            answer |= {"deleted": result.existed}
        case None:
            answer |= {"value": "", "etag": None, "ttl": None}
    return answer
