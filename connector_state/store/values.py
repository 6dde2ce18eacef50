"""Values of one connector: one script, and so one round trip, a call.

Contract: connector-state-kv.md. The value is the plain body under the contract's key; index,
sizes, expiries, audit, rate and last use are written by the same script (docs/decisions/0003).
"""

import hashlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from django.conf import settings

from connector_state.store.calls import Caller, Limits, Steps, call_steps, in_thread, on_loop
from connector_state.store.keys import Address
from connector_state.store.operations import (
    TTL,
    Condition,
    Deleted,
    Entry,
    Expiring,
    Operation,
    Result,
    Written,
)
from connector_state.store.scripts import Script
from connector_state.store.scripts.connection import Argument

_READ = Script("admit", "read")
_OPERATE = Script("admit", "history", "index", "thin", "ended", "remember", "operate")
VERSIONS = Script("admit", "history", "index", "thin", "versions")


class _Store:
    """The values of one connector, for one caller."""

    def __init__(self, connector_uuid: str, caller: Caller) -> None:
        self.connector_uuid = connector_uuid
        self.caller = caller


def operate_steps(store: _Store, operations: Sequence[Operation]) -> Steps[list[Result]]:
    """Carry out operations on different addresses, the writes all or nothing.

    Raises:
        PreconditionFailed, Forbidden: as in put; `operation` is the index of the culprit.
    """
    uuid, caller = store.connector_uuid, store.caller
    members = [operation.address.member for operation in operations]
    if operations[0].kind == "version":
        arguments = version_arguments(members[0], operations[0].etag)
        found = yield from call_steps(VERSIONS, uuid, caller, arguments, members)
        return [Entry(found[0], operations[0].etag, None) if found else None]
    kinds = {operation.kind for operation in operations}
    if kinds == {"get"}:
        replies = yield from call_steps(_READ, uuid, caller, (), members)
        return [_entry(reply) for reply in replies]
    arguments, etags = [*_limits(caller.limits), caller.address], []
    for operation, member in zip(operations, members, strict=True):
        etags.append(etag := etag_of(operation.value))
        ttl, condition = _ttl_argument(operation.ttl_seconds), operation.condition
        arguments += (operation.kind, member, operation.value, etag, ttl)
        arguments += (condition.if_match, condition.if_none_match)
    when_full = "put" not in kinds
    replies = yield from call_steps(_OPERATE, uuid, caller, arguments, members, when_full=when_full)
    return list(map(_result, operations, etags, replies))


def version_arguments(member: str, etag: str) -> list[Argument]:
    """Return the arguments of VERSIONS for a member; `etag` may be "" for all of its versions."""
    return [member, etag, settings.STATE_KEEP_VERSIONS, settings.STATE_KEEP_DAYS]


def _limits(limits: Limits) -> list[Argument]:
    oldest = int(time.time() - settings.AUDIT_MAX_AGE_SECONDS) * 1000
    return [
        limits.max_keys,
        limits.max_bytes,
        settings.AUDIT_MAX_ENTRIES,
        oldest,
        settings.STATE_KEEP_VERSIONS,
        settings.STATE_KEEP_DAYS,
        settings.STATE_HISTORY_MAX_BYTES,
    ]


def _get(store: _Store, address: Address) -> Steps[Entry | None]:
    """Return what stands at the address, or None when nothing does."""
    members = [address.member]
    (reply,) = yield from call_steps(_READ, store.connector_uuid, store.caller, (), members)
    return _entry(reply)


def _put(
    store: _Store,
    address: Address,
    value: bytes,
    ttl_seconds: TTL = None,
    condition: Condition = Condition(),
) -> Steps[str]:
    """Store a value and return its ETag. Without a TTL it never expires.

    Raises:
        PreconditionFailed: the condition does not hold; nothing was written.
        Forbidden: code `quota_exceeded`; nothing was written.
    """
    operation = Operation("put", address, value, ttl_seconds, condition)
    (result,) = yield from operate_steps(store, [operation])
    assert isinstance(result, Written)
    return result.etag


def _delete(
    store: _Store,
    address: Address,
    condition: Condition = Condition(),
    *,
    with_history: bool = False,
) -> Steps[bool]:
    """Delete what stands at the address; return whether anything did.

    Its earlier versions, and itself as one, are kept for a time, unless `with_history`.

    Raises:
        PreconditionFailed: the condition does not hold; nothing was deleted.
    """
    kind: Literal["erase", "delete"] = "erase" if with_history else "delete"
    (result,) = yield from operate_steps(store, [Operation(kind, address, condition=condition)])
    assert isinstance(result, Deleted)
    return result.existed


def _expire(store: _Store, address: Address, ttl_seconds: int | None) -> Steps[bool]:
    """Let what stands at the address expire, or never (None); return whether anything did.

    The value stays what it is, whoever writes it meanwhile.
    """
    operation = Operation("expire", address, ttl_seconds=ttl_seconds)
    (result,) = yield from operate_steps(store, [operation])
    assert isinstance(result, Expiring)
    return result.existed


class StateStore(_Store):
    """The values of one connector, for one caller; each method is one call.

    Every method raises what calls.call does: Unavailable, SignatureRefused, RateLimited, Corrupt.
    """

    operate = in_thread(operate_steps)
    get = in_thread(_get)
    put = in_thread(_put)
    delete = in_thread(_delete)
    expire = in_thread(_expire)


class AsyncStateStore(_Store):
    """StateStore for an event loop: the same methods, as coroutines."""

    operate = on_loop(operate_steps)
    get = on_loop(_get)
    put = on_loop(_put)
    delete = on_loop(_delete)
    expire = on_loop(_expire)


def _ttl_argument(ttl_seconds: TTL) -> str | int:
    if ttl_seconds is None:
        return ""
    return ttl_seconds if ttl_seconds == "keep" else ttl_seconds * 1000


def _result(operation: Operation, etag: str, reply: Any) -> Result:
    if operation.kind == "get":
        return _entry(reply)
    if operation.kind == "put":
        return Written(etag)
    return (Expiring if operation.kind == "expire" else Deleted)(existed=reply == b"1")


def _entry(reply: list[Any]) -> Entry | None:
    if not reply:
        return None
    value, ttl_ms = reply
    return Entry(value, etag_of(value), ttl_seconds(ttl_ms))


def etag_of(value: bytes) -> str:
    """Return the ETag of a value."""
    return hashlib.sha1(value, usedforsecurity=False).hexdigest()


def ttl_seconds(ttl_ms: int) -> int | None:
    """Return Redis' PTTL in seconds, part of one rounded up; None for a key that never expires."""
    return None if ttl_ms < 0 else -(-ttl_ms // 1000)


def expires_at(ttl_seconds: int | None) -> datetime | None:
    """Return when a value ends that lives so long from now; None for one that never does.

    Redis takes expiries past the year 9999, where Python's calendar ends; they become its end.
    """
    if ttl_seconds is None:
        return None
    try:
        return datetime.now(UTC) + timedelta(seconds=ttl_seconds)
    except OverflowError:
        return datetime.max.replace(microsecond=0, tzinfo=UTC)
