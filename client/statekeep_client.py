"""Client of Statekeep's connector state: one file, to be installed or copied.

    with StateClient(base_url, connector_uuid, key_id, secret) as state:
        cursor = state.get("m365", "delta")  # None only when nothing is stored
        state.put("m365", "delta", "token")

What to send, when to try again and what an answer means is decided in generators that do no I/O
(_Protocol): they yield a Request or a Pause and are sent what came of it. StateClient (requests or
httpx) and AsyncStateClient (httpx) only drive them. httpx and requests are imported when used.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import random
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, TypeVar, Unpack
from urllib.parse import quote, urlencode, urlsplit

if TYPE_CHECKING:
    import httpx
    import requests

T = TypeVar("T")
Fn: TypeAlias = Callable[[str | None], str | None]

STATE_PATH = "/dsx-connect/api/v1/connectors/state"
BACKOFF_SECONDS, BACKOFF_MAX_SECONDS = 0.05, 1.0
UPDATE_ATTEMPTS = 100  # of a contended update(); its deadline mostly comes first


class StateError(Exception):
    """Base of all below, and what is none of them (a 400, or an answer that is not this API's).

    `status` is None when there was no answer; `code` is the stable code of the service's README.
    """

    def __init__(
        self,
        detail: str,
        status: int | None = None,
        code: str = "",
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(detail if status is None else f"{detail} ({status} {code})")
        self.detail, self.status, self.code = detail, status, code
        self.retry_after_seconds = retry_after_seconds
        # Of this one attempt. A 4xx is a refusal; after any other answer, or none, who knows.
        self.maybe_applied = status is None or not 400 <= status < 500


class PreconditionFailed(StateError):
    """What is stored is not what the condition names; nothing was written."""


class Unavailable(StateError):
    """The service, or its store, could not be reached until the deadline."""


class RateLimited(StateError):
    """Too many requests until the deadline; see `retry_after_seconds`."""


class Refused(StateError):
    """The credential is not valid, or may not do this."""


class ClockSkew(Refused):
    """This machine's clock is off by `skew_seconds` (more than 0: ahead; None: not known)."""

    skew_seconds: float | None = None


class OutcomeUnknown(StateError):
    """A write may or may not have been carried out. Read the value before writing again."""


@dataclass(frozen=True, slots=True)
class Value:
    """A stored value; `etag` is what if_match takes, `ttl_seconds` None when it never expires."""

    value: str = field(repr=False)
    etag: str
    ttl_seconds: int | None


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as listed; `size` is in bytes."""

    key: str
    size: int
    etag: str
    ttl_seconds: int | None


@dataclass(frozen=True, slots=True)
class NamespaceInfo:
    """A namespace and how many keys it holds."""

    namespace: str
    keys: int


@dataclass(frozen=True, slots=True)
class Get:
    """Read a key in a batch; its result is a Value or None."""

    key: str


@dataclass(frozen=True, slots=True)
class Put:
    """Store a value in a batch; its result is the ETag."""

    key: str
    value: str = field(repr=False)
    ttl: int | None = None
    if_match: str | None = None
    if_none_match: Literal["*"] | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a key in a batch; its result is whether (the last attempt saw that) it was there."""

    key: str
    if_match: str | None = None


Operation: TypeAlias = Get | Put | Delete
Result: TypeAlias = Value | str | bool | None


@dataclass(frozen=True, slots=True)
class Request:
    """Send this, with these very bytes of target and body."""

    method: str
    target: str
    body: bytes = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a Request; `headers` ignore case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Lost:
    """A Request without an answer; `sent` is False when it surely never left."""

    error: Exception
    sent: bool


Steps: TypeAlias = Generator[Request | Pause, Answer | Lost | None, T]
Page: TypeAlias = tuple[list[T], str | None]


class Options(TypedDict, total=False):
    """Bounds of every call. The deadline spans all attempts and pauses of it."""

    deadline_seconds: float
    timeout_seconds: float
    attempts: int
    clock: Callable[[], float]


def etag_of(value: str) -> str:
    """Return the ETag of a value, as the service makes it: SHA-1 of its bytes."""
    return hashlib.sha1(value.encode(), usedforsecurity=False).hexdigest()


class _Protocol:
    """The calls as generators without I/O."""

    def __init__(
        self,
        base_url: str,
        connector_uuid: str,
        key_id: str,
        secret: str,
        *,
        deadline_seconds: float = 10.0,
        timeout_seconds: float = 10.0,
        attempts: int = 10,
        clock: Callable[[], float] = time.time,
    ) -> None:
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https") or "@" in url.netloc or url.query or url.fragment:
            raise ValueError("base_url is http(s)://host[:port], with no user, query or fragment")
        self._origin = f"{url.scheme}://{url.netloc}"
        self._root = f"{url.path.rstrip('/')}{STATE_PATH}/{uuid.UUID(connector_uuid)}"
        self._key_id = key_id
        # A keyed hash to copy: the secret itself is kept nowhere that a dump of objects shows.
        self._mac = hmac.new(secret.encode(), digestmod="sha256")
        self._deadline, self._timeout = deadline_seconds, timeout_seconds
        self._attempts, self._clock = attempts, clock

    def _authorization(self, method: str, target: str, body: bytes, ts: int, nonce: str) -> str:
        mac = self._mac.copy()
        mac.update(f"{method}|{target}|{ts}|{nonce}|".encode() + body)
        sig = base64.b64encode(mac.digest()).decode()
        return f"DSX-HMAC key_id={self._key_id}, ts={ts}, nonce={nonce}, sig={sig}"

    def _target(self, *segments: str, **query: str | int | None) -> str:
        for segment in segments:
            if segment in ("", ".", ".."):
                raise ValueError(f"{segment!r} can't go into a URL; a batch can name such a key")
        given = {name: value for name, value in query.items() if value is not None}
        path = "/".join([self._root, *(quote(segment, safe="") for segment in segments)])
        return path + ("?" + urlencode(given, quote_via=quote, safe="") if given else "")

    def _attempt(
        self,
        until: float,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        expect: int = 200,
        content_type: str = "text/plain; charset=utf-8",
    ) -> Steps[Answer]:
        """Send once, signed anew; raise unless the answer is the expected one."""
        nonce = base64.b64encode(os.urandom(12)).decode()
        signed = self._authorization(method, target, body, int(self._clock()), nonce)
        headers = {"Authorization": signed} | ({"Content-Type": content_type} if body else {})
        # Half of what is left: an answer that never comes leaves time to ask again.
        timeout = max(0.05, min(self._timeout, (until - time.monotonic()) / 2))
        reply = yield Request(method, target, body, headers, timeout)
        if isinstance(reply, Answer) and reply.status == expect:
            return reply
        if isinstance(reply, Answer):
            raise _error(reply, self._clock())
        assert isinstance(reply, Lost)
        error = Unavailable(f"No answer from {self._origin}: {type(reply.error).__name__}.")
        error.maybe_applied = reply.sent
        raise error from reply.error

    def _pause(self, error: StateError, attempt: int, attempts: int, until: float) -> Pause:
        """Return how long to wait after this error; raise it when there is no more to wait for."""
        backoff = min(BACKOFF_MAX_SECONDS, BACKOFF_SECONDS * 2**attempt)
        seconds = (error.retry_after_seconds or 0) + random.uniform(0, backoff)  # noqa: S311
        if attempt >= attempts or time.monotonic() + seconds >= until:
            raise error
        return Pause(seconds)

    def _carry_out(
        self,
        until: float,
        send: Callable[[], Steps[T]],
        writes: Sequence[Operation] = (),
        read: Callable[[], Steps[list[Result]]] | None = None,
        equal_is_ours: bool = True,
    ) -> Steps[tuple[T | None, list[Result]]]:
        """Send until there is an answer; return it, or None and what `read` saw instead of one.

        After a lost reply the same write is simply sent again. Unconditional, it does no harm to
        be done twice. Conditional, it succeeds if the old ETag still stands. If it meets a 412
        instead, then either our first one was carried out, or somebody else wrote: `read` tells.
        """
        unsure = False
        attempt = 0
        try:
            while True:
                attempt += 1
                try:
                    return (yield from send()), []
                except (Unavailable, RateLimited) as error:
                    unsure = unsure or (error.maybe_applied and bool(writes))
                    yield self._pause(error, attempt, self._attempts, until)
                except PreconditionFailed:
                    if not unsure or read is None:
                        raise
                    standing = yield from read()
                    # An ETag names a content, not a write. If the value we sent stands there, it
                    # was our write, or another's of the very same value: for a cursor no
                    # difference. For a counter or a lock it is one, hence equal_is_ours.
                    if not equal_is_ours or not all(map(_stands, writes, standing)):
                        raise
                    return None, standing
        except StateError as error:
            if unsure or (writes and error.maybe_applied):
                detail = f"It is not known whether the write was carried out: {error.detail}"
                raise OutcomeUnknown(detail, error.status, error.code) from error
            raise

    def _until(self) -> float:
        return time.monotonic() + self._deadline

    def _get(self, ns: str, key: str, until: float) -> Steps[Value | None]:
        target = self._target(ns, key)
        answer, _ = yield from self._carry_out(until, lambda: self._attempt(until, "GET", target))
        assert answer is not None
        return _parse(answer, _value, answer.headers)

    def _put(
        self, ns: str, put: Put, until: float, equal_is_ours: bool = True
    ) -> Steps[str]:
        conditions = _conditions(put)
        target = self._target(ns, put.key, ttl=put.ttl, **conditions)
        body, etag = put.value.encode(), etag_of(put.value)
        yield from self._carry_out(
            until,
            lambda: self._attempt(until, "PUT", target, body, expect=204),
            [put],
            lambda: self._standing(ns, put.key, until),
            equal_is_ours,
        )
        return etag

    def _delete(
        self, ns: str, delete: Delete, until: float, equal_is_ours: bool = True
    ) -> Steps[None]:
        target = self._target(ns, delete.key, **_conditions(delete))
        yield from self._carry_out(
            until,
            lambda: self._attempt(until, "DELETE", target, expect=204),
            [delete],
            lambda: self._standing(ns, delete.key, until),
            equal_is_ours,
        )

    def _standing(self, ns: str, key: str, until: float) -> Steps[list[Result]]:
        return [(yield from self._get(ns, key, until))]

    def _update(
        self, ns: str, key: str, fn: Fn, ttl: int | None, attempts: int, equal_is_ours: bool
    ) -> Steps[Value | None]:
        until = self._until()
        attempt = 0
        while True:
            attempt += 1
            old = yield from self._get(ns, key, until)
            new = fn(None if old is None else old.value)
            try:
                if new is not None:
                    put = Put(key, new, ttl, *((None, "*") if old is None else (old.etag, None)))
                    etag = yield from self._put(ns, put, until, equal_is_ours)
                    return Value(new, etag, ttl)
                if old is not None:
                    yield from self._delete(ns, Delete(key, old.etag), until, equal_is_ours)
                return None
            except PreconditionFailed as error:
                yield self._pause(error, attempt, attempts, until)

    def _batch(
        self, ns: str, operations: Sequence[Operation], until: float, equal_is_ours: bool = True
    ) -> Steps[list[Result]]:
        target = self._target(ns)
        wire = [
            {"op": type(operation).__name__.lower(), "key": operation.key}
            | ({"value": operation.value} if isinstance(operation, Put) else {})
            | ({"ttl": operation.ttl} if getattr(operation, "ttl", None) is not None else {})
            | _conditions(operation)
            for operation in operations
        ]
        body = json.dumps({"operations": wire}, ensure_ascii=False).encode()

        def send() -> Steps[list[Result]]:
            answer = yield from self._attempt(
                until, "POST", target, body, content_type="application/json"
            )
            return _parse(answer, _results, operations)

        results, standing = yield from self._carry_out(
            until,
            send,
            operations if any(not isinstance(operation, Get) for operation in operations) else (),
            lambda: self._batch(ns, [Get(operation.key) for operation in operations], until),
            equal_is_ours,
        )
        return list(map(_as_done, operations, standing)) if results is None else results

    def _page(
        self, build: Callable[[Any], Page[T]], *segments: str, **query: str | int | None
    ) -> Steps[Page[T]]:
        until, target = self._until(), self._target(*segments, **query)
        answer, _ = yield from self._carry_out(until, lambda: self._attempt(until, "GET", target))
        assert answer is not None
        return _parse(answer, build)


def _conditions(operation: Operation) -> dict[str, str]:
    names = ("if_match", "if_none_match")
    found = {name: getattr(operation, name, None) for name in names}
    given = {name: condition for name, condition in found.items() if condition is not None}
    if len(given) > 1:
        raise ValueError("give if_match or if_none_match, not both")
    return given


def _stands(operation: Operation, standing: Result) -> bool:
    """Whether a conditional write is there to see. The others of its batch went with it."""
    if not _conditions(operation):
        return True
    wanted = etag_of(operation.value) if isinstance(operation, Put) else None
    return (standing.etag if isinstance(standing, Value) else None) == wanted


def _as_done(operation: Operation, standing: Result) -> Result:
    if isinstance(operation, Put):
        return etag_of(operation.value)
    return True if isinstance(operation, Delete) else standing


def _parse(answer: Answer, build: Callable[..., T], *context: Any) -> T:
    """Build a result of an answer's JSON; whatever is not of its shape is an error, never None."""
    try:
        return build(json.loads(answer.body), *context)
    except (ValueError, TypeError, KeyError, AttributeError):
        detail = "The answer is not of this API; does base_url lead to Statekeep?"
        raise StateError(detail, answer.status, "unexpected_answer") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _value(data: Any, headers: Mapping[str, str]) -> Value | None:
    value = _text(data["value"])
    if value == "" and "ETag" not in headers:
        return None
    ttl = headers.get("State-TTL")
    # Not the header's ETag, which proxies that compress make weak or add a suffix to.
    return Value(value, etag_of(value), None if ttl is None else int(ttl))


def _results(data: Any, operations: Sequence[Operation]) -> list[Result]:
    pairs = zip(operations, data["results"], strict=True)
    return [_result(operation, result) for operation, result in pairs]


def _result(operation: Operation, result: Any) -> Result:
    if result["key"] != operation.key:
        raise ValueError
    if isinstance(operation, Delete):
        return bool(result["deleted"])
    if isinstance(operation, Put):
        return _text(result["etag"])
    if result["etag"] is None:
        return None
    return Value(_text(result["value"]), _text(result["etag"]), result["ttl"])


def _key_page(data: Any) -> Page[KeyInfo]:
    keys = [KeyInfo(k["key"], k["size"], k["etag"], k["ttl"]) for k in data["keys"]]
    return keys, data["next_cursor"]


def _namespace_page(data: Any) -> Page[NamespaceInfo]:
    return [NamespaceInfo(n["namespace"], n["keys"]) for n in data["namespaces"]], data[
        "next_cursor"
    ]


_ERRORS: dict[int, type[StateError]] = {401: Refused, 403: Refused, 412: PreconditionFailed}
_ERRORS |= {429: RateLimited, 502: Unavailable, 503: Unavailable, 504: Unavailable}


def _error(answer: Answer, now: float) -> StateError:
    detail, code = "The answer is not of this API; does base_url lead to Statekeep?", ""
    try:
        data = json.loads(answer.body)
        detail, code = _text(data["detail"]), _text(data["code"])
    except (ValueError, TypeError, KeyError):
        pass
    if code == "timestamp_out_of_window":
        return _clock_skew(answer, now)
    retry_after = answer.headers.get("Retry-After", "")
    seconds = float(retry_after) if retry_after.isdecimal() else None
    if code == "replayed":
        # Our nonces never come again: something on the way (a retrying adapter, a proxy) sent the
        # request twice, and the other copy went through. Its answer is as good as lost.
        error: StateError = Unavailable(detail, answer.status, code)
        error.maybe_applied = True
        return error
    return _ERRORS.get(answer.status, StateError)(detail, answer.status, code, seconds)


def _clock_skew(answer: Answer, now: float) -> ClockSkew:
    try:
        skew = round(now - parsedate_to_datetime(answer.headers["Date"]).timestamp(), 1)
    except (KeyError, ValueError):
        skew = None
    off = "off" if skew is None else f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'}"
    error = ClockSkew(
        f"This machine's clock is {off} the server's. Fix the clock (NTP); the key is fine.",
        answer.status,
        "timestamp_out_of_window",
    )
    error.skew_seconds = skew
    return error


def _httpx_arguments(origin: str, request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": origin + request.target,
        "content": request.body or None,
        "headers": request.headers,
        "timeout": request.timeout_seconds,
        "auth": None,  # the session's would take the place of our Authorization
        "follow_redirects": False,  # the signature is for this target; a PUT may turn into a GET
    }


def _httpx_lost(error: Exception) -> Lost:
    import httpx

    unsent = httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout
    return Lost(error, sent=not isinstance(error, unsent))


def _send_by_httpx(session: "httpx.Client", origin: str, request: Request) -> Answer | Lost:
    import httpx

    try:
        response = session.request(**_httpx_arguments(origin, request))
    except httpx.RequestError as error:
        return _httpx_lost(error)
    return Answer(response.status_code, response.headers, response.content)


def _send_by_requests(session: "requests.Session", origin: str, request: Request) -> Answer | Lost:
    import requests
    import urllib3

    try:
        response = session.request(
            request.method,
            origin + request.target,
            data=request.body or None,
            headers=request.headers,
            timeout=request.timeout_seconds,
            auth=lambda prepared: prepared,  # none: ~/.netrc would replace our Authorization
            allow_redirects=False,  # as for httpx
        )
    except requests.RequestException as error:
        reason = getattr(error.args[0] if error.args else None, "reason", None)
        unsent = isinstance(error, requests.ConnectTimeout) or isinstance(
            reason, urllib3.exceptions.NewConnectionError
        )
        return Lost(error, sent=not unsent)
    return Answer(response.status_code, response.headers, response.content)
