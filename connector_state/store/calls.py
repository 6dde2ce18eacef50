"""A caller's scripts: who calls, under which nonce and limits, and what refuses them.

Every script claims the nonce, keeps the rate and notes the last use before it does anything else
(scripts/admit.lua), so this is the one way from a request to Redis.

What a call does is written once, as a generator without I/O (Steps): it yields the scripts that it
needs, and is sent their replies. `in_thread` and `on_loop` make functions of it.
"""

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

from django.conf import settings

from connector_state.errors import (
    Forbidden,
    PreconditionFailed,
    RateLimited,
    SignatureRefused,
    Unavailable,
)
from connector_state.store.keys import connector_keys
from connector_state.store.room import make_room
from connector_state.store.scripts import Script, connection, loop
from connector_state.store.scripts.retries import STORE_FULL

OPERATOR = "operator:"  # what an operator's name begins with as a caller; no key id holds a ":"

# A request is good from skew before its ts until skew and a second after it, as whole seconds are
# compared; its nonce is kept for longer.
NONCE_MARGIN_SECONDS = 30

_CLAIM = Script("admit", "admit_only")
_REINDEX = Script("admit", "history", "index", "ended", "reindex")


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

    def without_rate(self) -> "Limits":
        return replace(self, requests_per_second=0)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, under which nonce and limits; `address` is the client's ("": none, or unknown)."""

    name: str
    nonce: Nonce
    limits: Limits
    address: str = ""

    @classmethod
    def operator(cls, username: str, limits: Limits | None = None, address: str = "") -> "Caller":
        """A person at the admin pages or the command line, unlimited unless limits are given."""
        nonce = Nonce(key_id="operator", value=secrets.token_hex(12))
        return cls(f"{OPERATOR}{username}", nonce, limits or Limits(), address)


class ScriptCall(NamedTuple):
    """One run of a script; the arguments of connection.run."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[connection.Argument]
    when_full: bool


P = ParamSpec("P")
T = TypeVar("T")

Steps = Generator[ScriptCall, list[Any], T]


def in_thread(steps: Callable[P, Steps[T]]) -> Callable[P, T]:
    """Make a function of steps that blocks its thread until Redis has answered."""

    @wraps(steps)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        generator = steps(*args, **kwargs)
        try:
            step = next(generator)
            while True:
                step = generator.send(_run_in_thread(step))
        except StopIteration as end:
            result: T = end.value
            return result

    return run


def on_loop(steps: Callable[P, Steps[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make a coroutine function of steps, for an event loop."""

    @wraps(steps)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        generator = steps(*args, **kwargs)
        try:
            step = next(generator)
            while True:
                step = generator.send(await _run_on_loop(step))
        except StopIteration as end:
            result: T = end.value
            return result

    return run


# A full Redis gives up history before it refuses a value: both runs below try again then.


def _run_in_thread(step: ScriptCall) -> list[Any]:
    while True:
        try:
            return connection.run(step.script, step.keys, step.arguments, when_full=step.when_full)
        except Unavailable as error:
            if error.code != STORE_FULL or not make_room(step.keys[0]):
                raise


async def _run_on_loop(step: ScriptCall) -> list[Any]:
    while True:
        try:
            return await loop.run(step.script, step.keys, step.arguments, when_full=step.when_full)
        except Unavailable as error:
            if error.code != STORE_FULL or not await asyncio.to_thread(make_room, step.keys[0]):
                raise


def call_steps(
    script: Script,
    connector_uuid: str,
    caller: Caller,
    arguments: Sequence[connection.Argument] = (),
    members: Iterable[str] = (),
    *,
    when_full: bool = True,
) -> Steps[list[Any]]:
    """Run a script on one connector's keys and return its reply, without the leading "ok".

    Args:
        members: whose values the script uses.
        when_full: as in connection.run; False for what adds values.

    Raises:
        SignatureRefused: code `replayed`: the nonce was used before; code `bad_signature`: the key
            id was revoked a moment ago.
        RateLimited, PreconditionFailed, Forbidden: what the script refused.
        Unavailable, Corrupt: as in connection.run.
    """
    step = _first_step(script, connector_uuid, caller, arguments, members, when_full)
    status, *reply = yield step
    while status == b"again":
        # Values seem to have expired. A script that declares their keys looks whether they have.
        # The claim id lets it use the nonce, and then the same call again.
        members = [member.decode() for member in reply]
        arguments = _reindex_arguments(members)
        yield _first_step(_REINDEX, connector_uuid, caller, arguments, members, when_full=True)
        status, *reply = yield step
    if status == b"replay":
        raise SignatureRefused("This nonce was used before.", code="replayed")
    caller.nonce.claimed = True
    if status == b"revoked":
        raise SignatureRefused(reason="unknown_key_id")  # as soon as credentials are read again
    if status != b"ok":
        raise _refusal(status, reply)
    return reply


call = in_thread(call_steps)


def call_reindex(connector_uuid: str, caller: Caller, members: Sequence[str]) -> list[Any]:
    """Bring the index to what stands in Redis for these members; scripts/reindex.lua says more."""
    arguments = _reindex_arguments(members)
    return call(_REINDEX, connector_uuid, caller, arguments, members, when_full=False)


def _reindex_arguments(members: Sequence[str]) -> list[connection.Argument]:
    return [settings.STATE_HISTORY_MAX_BYTES, *members]


def _first_step(
    script: Script,
    connector_uuid: str,
    caller: Caller,
    arguments: Sequence[connection.Argument],
    members: Iterable[str],
    when_full: bool,
) -> ScriptCall:
    keys, nonce = connector_keys(connector_uuid), caller.nonce
    redis_keys = [
        keys.nonce(nonce.key_id, nonce.value),
        *(keys.own if script.uses_index else keys.of_admission),
        *[keys.value_prefix + member for member in members],
    ]
    redis_arguments = [
        nonce.claim_id,
        2 * settings.HMAC_SKEW_SECONDS + NONCE_MARGIN_SECONDS,
        caller.name,
        caller.limits.requests_per_second,
        *arguments,
    ]
    return ScriptCall(script, redis_keys, redis_arguments, when_full)


def claim(connector_uuid: str, caller: Caller) -> None:
    """Claim the caller's nonce, for a request that has no other business in Redis."""
    call(_CLAIM, connector_uuid, caller)


def _refusal(status: bytes, reply: list[Any]) -> Exception:
    if status == b"limited":
        seconds = -(-reply[0] // 1000)
        return RateLimited("Too many requests from this connector.", retry_after_seconds=seconds)
    if status == b"condition":
        number, etag = reply
        return PreconditionFailed(operation=number - 1, etag=etag.decode() or None)
    what, limit = reply
    return Forbidden(
        f"The connector would exceed its quota of {limit} {what.decode()}.", code="quota_exceeded"
    )
