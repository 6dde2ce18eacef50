"""What a value call does: a request and a policy in, a decision out; its results in, an answer out.

Nothing here waits or knows a framework, so any server runs the same decisions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector_state.core import parameters
from connector_state.core.batch import read_batch, result_json
from connector_state.core.request import StateRequest
from connector_state.errors import InvalidRequest, VersionGone
from connector_state.store.keys import Address, check_namespace
from connector_state.store.operations import Deleted, Entry, Operation, Result, Written
from connector_state.store.policy import Policy


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a call: a status, JSON (None for no content) and headers."""

    status: int
    data: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """The operations that carry a call out, and what makes its answer of their results."""

    operations: list[Operation]
    answer: Callable[[Sequence[Result]], Answer]


def read(request: StateRequest, policy: Policy, ns: str, key: str) -> Decision:
    """Decide a GET or HEAD of a value: `{"value": "..."}`, empty when nothing is stored.

    `?version=ETAG` reads the value that has this ETag or had it.

    Raises:
        InvalidRequest, Forbidden; the answer raises Corrupt, or VersionGone.
    """
    address = Address(ns, key)
    policy.check_namespace(ns)
    version = parameters.version(request.query)
    known = parameters.known_etags(request.if_none_match)

    def answer(results: Sequence[Result]) -> Answer:
        (entry,) = results
        if entry is None and version:
            raise VersionGone()
        if entry is None:
            return Answer(200, {"value": ""})
        assert isinstance(entry, Entry)
        headers = _entry_headers(entry)
        if known == "*" or entry.etag in known.split(","):
            return Answer(304, None, headers)
        return Answer(200, {"value": entry.text}, headers)

    operation = Operation("version" if version else "get", address, etag=version)
    return Decision([operation], answer)


def store(request: StateRequest, policy: Policy, ns: str, key: str) -> Decision:
    """Decide a PUT. `?ttl=SECONDS`, `?if_match=ETAG`, `?if_none_match=*`.

    Raises:
        InvalidRequest, Forbidden.
    """
    address = Address(ns, key)
    policy.check_write(ns)
    query = parameters.read_query(request.query, ("ttl", "if_match", "if_none_match"), strict=True)
    operation = Operation(
        "put",
        address,
        _utf8(request.body),
        parameters.ttl_seconds(query),
        parameters.condition(request, query),
    )
    return Decision([operation], _stored)


def _stored(results: Sequence[Result]) -> Answer:
    (written,) = results
    assert isinstance(written, Written)
    return Answer(204, None, {"ETag": f'"{written.etag}"'})


def delete(request: StateRequest, policy: Policy, ns: str, key: str) -> Decision:
    """Decide a DELETE. `?if_match=ETAG`.

    Raises:
        InvalidRequest, Forbidden.
    """
    address = Address(ns, key)
    policy.check_write(ns)
    query = parameters.read_query(request.query, ("if_match", "if_none_match"), strict=True)
    condition = parameters.condition(request, query)
    return Decision([Operation("delete", address, condition=condition)], _deleted)


def _deleted(results: Sequence[Result]) -> Answer:
    assert isinstance(results[0], Deleted)
    return Answer(204)


def batch(request: StateRequest, policy: Policy, ns: str, max_value_bytes: int) -> Decision:
    """Decide a batch: reads, and writes that happen all or not at all.

    Raises:
        InvalidRequest, ValueTooLarge, Forbidden.
    """
    check_namespace(ns)
    policy.check_namespace(ns)
    parameters.read_query(request.query, (), strict=True)
    parameters.check_no_condition(request)
    operations = read_batch(request.body, ns, max_value_bytes)
    if any(operation.kind != "get" for operation in operations):
        policy.check_write(ns)

    def answer(results: Sequence[Result]) -> Answer:
        pairs = zip(operations, results, strict=True)
        return Answer(200, {"results": [result_json(*pair) for pair in pairs]})

    return Decision(operations, answer)


def _entry_headers(entry: Entry) -> dict[str, str]:
    """Return the ETag of a value, and how long it still lives."""
    headers = {"ETag": f'"{entry.etag}"'}
    if entry.ttl_seconds is not None:
        headers["State-TTL"] = str(entry.ttl_seconds)
    return headers


def _utf8(body: bytes) -> bytes:
    try:
        body.decode()
    except UnicodeDecodeError:  # it could not be answered as a JSON string
        raise InvalidRequest("The value must be UTF-8 text.", code="value_not_utf8") from None
    return body
