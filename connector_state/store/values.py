"""Values of one connector: one script, and so one round trip, a call.

Contract: connector-state-kv.md. The value is the plain body under the contract's key; index,
sizes, expiries, audit, rate and last use are written by the same script (docs/decisions/0003).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from django.conf import settings

from connector_state.errors import Corrupt
from connector_state.store.calls import Caller, call
from connector_state.store.connection import Argument, Script
from connector_state.store.keys import Address

_OPERATE = Script("operate")

TTL = int | Literal["keep"] | None


@dataclass(frozen=True, slots=True)
class Condition:
    """When a write may happen: "" (always), "*" or ETags. Decided atomically in Redis."""

    if_match: str = ""
    if_none_match: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One read or write of a batch.

    A put without `ttl_seconds` removes an expiry; with "keep" it leaves the one that it finds.
    """

    kind: Literal["get", "put", "delete", "expire"]
    address: Address
    value: bytes = b""
    ttl_seconds: TTL = None
    condition: Condition = Condition()


@dataclass(frozen=True, slots=True)
class Entry:
    """A value as it stands.

    `etag` is the SHA-1 of the bytes, hexadecimal; `ttl_seconds` None when it never expires.
    """

    value: bytes
    etag: str
    ttl_seconds: int | None

    @property
    def text(self) -> str:
        """The value as text.

        Raises:
            Corrupt: it is not UTF-8 (it was not written through this service).
        """
        try:
            return self.value.decode()
        except UnicodeDecodeError as error:
            raise Corrupt() from error


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a put."""

    etag: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """The outcome of a delete."""

    existed: bool


@dataclass(frozen=True, slots=True)
class Expiring:
    """The outcome of setting when a value expires."""

    existed: bool


Result = Entry | Written | Deleted | Expiring | None


class StateStore:
    """The values of one connector, for one caller.

    Every method raises what calls.call does: Unavailable, SignatureRefused, RateLimited, Corrupt.
    """

    def __init__(self, connector_uuid: str, caller: Caller) -> None:
        self._connector_uuid = connector_uuid
        self._caller = caller

    def get(self, address: Address) -> Entry | None:
        """Return what stands at the address, or None when nothing does."""
        (result,) = self.operate([Operation("get", address)])
        assert result is None or isinstance(result, Entry)
        return result

    def put(
        self,
        address: Address,
        value: bytes,
        ttl_seconds: TTL = None,
        condition: Condition = Condition(),
    ) -> str:
        """Store a value and return its ETag. Without a TTL it never expires.

        Raises:
            PreconditionFailed: the condition does not hold; nothing was written.
            Forbidden: code `quota_exceeded`; nothing was written.
        """
        operation = Operation("put", address, value, ttl_seconds, condition)
        (result,) = self.operate([operation])
        assert isinstance(result, Written)
        return result.etag

    def delete(self, address: Address, condition: Condition = Condition()) -> bool:
        """Delete what stands at the address; return whether anything did.

        Raises:
            PreconditionFailed: the condition does not hold; nothing was deleted.
        """
        (result,) = self.operate([Operation("delete", address, condition=condition)])
        assert isinstance(result, Deleted)
        return result.existed

    def expire(self, address: Address, ttl_seconds: int | None) -> bool:
        """Let what stands at the address expire, or never (None); return whether anything did.

        The value stays what it is, whoever writes it meanwhile.
        """
        (result,) = self.operate([Operation("expire", address, ttl_seconds=ttl_seconds)])
        assert isinstance(result, Expiring)
        return result.existed

    def operate(self, operations: Sequence[Operation]) -> list[Result]:
        """Carry out operations on different addresses, the writes all or nothing.

        Raises:
            PreconditionFailed, Forbidden: as in put; `operation` is the index of the culprit.
        """
        limits = self._caller.limits
        arguments: list[Argument] = [
            limits.max_keys,
            limits.max_bytes,
            settings.AUDIT_MAX_ENTRIES,
            int(time.time() - settings.AUDIT_MAX_AGE_SECONDS) * 1000,
        ]
        for operation in operations:
            arguments += (
                operation.kind,
                operation.address.member,
                operation.value,
                _ttl_argument(operation.ttl_seconds),
                operation.condition.if_match,
                operation.condition.if_none_match,
            )
        adds = any(operation.kind == "put" for operation in operations)
        replies = call(_OPERATE, self._connector_uuid, self._caller, arguments, when_full=not adds)
        return [
            _result(operation, reply) for operation, reply in zip(operations, replies, strict=True)
        ]


def _ttl_argument(ttl_seconds: TTL) -> str | int:
    if ttl_seconds is None:
        return ""
    return ttl_seconds if ttl_seconds == "keep" else ttl_seconds * 1000


def _result(operation: Operation, reply: list[Any]) -> Result:
    if operation.kind == "put":
        return Written(etag=reply[0].decode())
    if operation.kind == "delete":
        return Deleted(existed=bool(reply[0]))
    if operation.kind == "expire":
        return Expiring(existed=bool(reply[0]))
    return _entry(*reply) if reply else None


def _entry(value: bytes, etag: bytes, ttl_ms: int) -> Entry:
    return Entry(value, etag.decode(), ttl_seconds(ttl_ms))


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
