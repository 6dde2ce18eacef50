"""Values of one connector: one script, and so one round trip, a call.

Contract: connector-state-kv.md. The value is the plain body under the contract's key; index,
sizes, expiries, audit, rate and last use are written by the same script (docs/decisions/0003).
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from django.conf import settings

from connector_state import connection
from connector_state.errors import (
    Corrupt,
    Forbidden,
    PreconditionFailed,
    RateLimited,
    SignatureRefused,
)
from connector_state.keys import Address, connector_keys

_OPERATE = connection.Script("operate")
_CLAIM = connection.Script("claim")

# A request is good from skew before its ts until skew after it; its nonce is kept for longer.
NONCE_MARGIN_SECONDS = 30


@dataclass(slots=True)
class Nonce:
    """The nonce of one request, claimed by whatever script the request runs first.

    `claim_id` is fresh for each request that arrives, so that our own retry after a lost reply is
    told from a replay, which has the same nonce and another claim id.
    """

    key_id: str
    value: str
    claim_id: bytes = field(default_factory=lambda: secrets.token_bytes(12))
    claimed: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What a connector may use. 0 is no limit."""

    requests_per_second: int = 0
    max_keys: int = 0
    max_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, under which nonce and limits."""

    name: str
    nonce: Nonce
    limits: Limits

    @classmethod
    def operator(cls, username: str, limits: Limits | None = None) -> "Caller":
        """A person at the admin pages or the command line, unlimited unless limits are given."""
        nonce = Nonce(key_id="operator", value=secrets.token_hex(12))
        return cls(f"operator:{username}", nonce, limits or Limits())


@dataclass(frozen=True, slots=True)
class Condition:
    """When a write may happen: "" (always), "*" or ETags. Decided atomically in Redis."""

    if_match: str = ""
    if_none_match: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One read or write of a batch."""

    kind: Literal["get", "put", "delete"]
    address: Address
    value: bytes = b""
    ttl_seconds: int | None = None
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


Result = Entry | Written | Deleted | None


class StateStore:
    """The values of one connector, for one caller.

    Every method raises Unavailable (Redis did not answer), SignatureRefused (code `replayed`: the
    nonce was used before) and RateLimited.
    """

    def __init__(self, connector_uuid: str, caller: Caller) -> None:
        self._keys = connector_keys(connector_uuid)
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
        ttl_seconds: int | None = None,
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

    def operate(self, operations: Sequence[Operation]) -> list[Result]:
        """Carry out operations on different addresses, the writes all or nothing.

        Raises:
            PreconditionFailed, Forbidden: as in put; `operation` is the index of the culprit.
        """
        limits = self._caller.limits
        arguments: list[connection.Argument] = [
            limits.max_keys,
            limits.max_bytes,
            settings.AUDIT_MAX_ENTRIES,
            int(time.time() - settings.AUDIT_MAX_AGE_SECONDS) * 1000,
        ]
        for operation in operations:
            ttl = operation.ttl_seconds
            arguments += (
                operation.kind,
                operation.address.member,
                operation.value,
                "" if ttl is None else ttl * 1000,
                operation.condition.if_match,
                operation.condition.if_none_match,
            )
        replies = self._run(_OPERATE, arguments)
        return [
            _result(operation, reply) for operation, reply in zip(operations, replies, strict=True)
        ]

    def claim(self) -> None:
        """Claim the caller's nonce, for a request that has no other business in Redis."""
        self._run(_CLAIM, [])

    def _run(
        self, script: connection.Script, arguments: Sequence[connection.Argument]
    ) -> list[Any]:
        nonce, limits = self._caller.nonce, self._caller.limits
        status, *reply = connection.run(
            script,
            [self._keys.nonce(nonce.key_id, nonce.value), *self._keys.own],
            [
                nonce.claim_id,
                2 * settings.HMAC_SKEW_SECONDS + NONCE_MARGIN_SECONDS,
                self._caller.name,
                limits.requests_per_second,
                limits.requests_per_second,
                self._keys.value_prefix,
                *arguments,
            ],
        )
        if status == b"replay":
            raise SignatureRefused("This nonce was used before.", code="replayed")
        nonce.claimed = True
        if status != b"ok":
            raise _refusal(status, reply)
        return reply


def _refusal(status: bytes, reply: list[Any]) -> Exception:
    if status == b"limited":
        seconds = -(-reply[0] // 1000)
        return RateLimited("Too many requests from this connector.", seconds)
    if status == b"condition":
        number, etag = reply
        return PreconditionFailed(operation=number - 1, etag=etag.decode() or None)
    what, limit = reply
    return Forbidden(
        f"The connector would exceed its quota of {limit} {what.decode()}.", code="quota_exceeded"
    )


def _result(operation: Operation, reply: list[Any]) -> Result:
    if operation.kind == "put":
        return Written(etag=reply[0].decode())
    if operation.kind == "delete":
        return Deleted(existed=bool(reply[0]))
    return entry(*reply) if reply else None


def entry(value: bytes, etag: bytes, ttl_ms: int) -> Entry:
    """Build an Entry of a script's reply. A TTL of part of a second is rounded up."""
    return Entry(value, etag.decode(), None if ttl_ms < 0 else -(-ttl_ms // 1000))
