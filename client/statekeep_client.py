"""A client for Statekeep's connector state, in one file: install it, or copy it.

    with StateClient(base_url, connector_uuid, key_id, secret) as state:
        cursor = state.get("m365", "delta")  # None only when nothing is stored
        state.put("m365", "delta", "token")

Generators without I/O (_Call) decide what to send, when to try again and what an answer means: they
yield a Request or a Pause, and receive the result. StateClient (requests or httpx) and
AsyncStateClient (httpx) run them; both libraries are imported only when they are used.
"""

import asyncio
import base64
import functools
import hashlib
import hmac
import json
import os
import random
import re
import sys
import time
import uuid
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import asdict, dataclass, field
from email.utils import parsedate_to_datetime
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    TypeAlias,
    TypeVar,
    cast,
)
from urllib.parse import quote, urlencode, urlsplit

if TYPE_CHECKING:
    import httpx
    import requests

T = TypeVar("T")
P = ParamSpec("P")
Session = TypeVar("Session")

STATE_PATH = "/dsx-connect/api/v1/connectors/state"
KEY_ID = re.compile(r"[A-Za-z0-9+/_=-]{1,64}")
BACKOFF_SECONDS, BACKOFF_MAX_SECONDS = 0.05, 1.0


class StateError(Exception):
    """The base of all errors, and the error for other answers, such as a 400.

    `status` is None if there was no answer. `code` is one of those in the service's docs/errors.md.
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
        # Of this attempt: a redirect or a 4xx refuses it; after anything else it may be applied.
        self.maybe_applied = status is None or not 300 <= status < 500


class PreconditionFailed(StateError):
    """The stored value is not the one in the condition; nothing was written."""


class VersionGone(StateError):
    """No value with the wanted ETag is kept, or none was ever stored."""


class Unavailable(StateError):
    """The service or its store could not be reached before the deadline."""


class RateLimited(StateError):
    """The service answered 429 until the deadline; see `retry_after_seconds`."""


class Refused(StateError):
    """The credential is not valid, or may not do this."""


class ClockSkew(Refused):
    """This machine's clock is wrong by `skew_seconds` (positive: ahead; None: unknown)."""

    skew_seconds: float | None = None


class OutcomeUnknown(StateError):
    """A write may or may not have been carried out. Read the value before writing again."""


@dataclass(frozen=True, slots=True)
class Value:
    """A stored value. `etag` is for if_match; `ttl_seconds` is None if it never expires."""

    value: str = field(repr=False)
    etag: str
    ttl_seconds: int | None


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key of a listing; `size` is in bytes."""

    key: str
    size: int
    etag: str
    ttl_seconds: int | None


@dataclass(frozen=True, slots=True)
class NamespaceInfo:
    """A namespace of a listing, and the number of its keys."""

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
    """Delete a key in a batch; its result tells whether the last attempt found the key."""

    key: str
    if_match: str | None = None


Operation: TypeAlias = Get | Put | Delete
Result: TypeAlias = Value | str | bool | None


@dataclass(frozen=True, slots=True)
class Request:
    """A request to send; target and body are signed, so they must be sent byte for byte."""

    method: str
    target: str
    body: bytes = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause before the next request."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a Request; the names in `headers` ignore case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Lost:
    """The failure of a Request; `sent` is False if it was certainly not sent."""

    error: Exception
    sent: bool


Steps: TypeAlias = Generator[Request | Pause, Answer | Lost | None, T]
Page: TypeAlias = tuple[list[T], str | None]


class _Client(Generic[Session]):
    """The client of one connector.

    Args:
        base_url: scheme, host and port of the service.
        connector_uuid, key_id, secret: the connector's credential.
        session: the session to send with, which should not retry by itself. If None, the client
            creates one and closes it.
        deadline_seconds: the time limit of a call, with all its requests and pauses.
        timeout_seconds: the time limit of one request.
        attempts: the number of requests that a call may send.
        clock: returns the Unix time to sign with, in seconds.

    Every method may raise Unavailable, RateLimited, Refused, ClockSkew, or a plain StateError.
    Methods that write may raise OutcomeUnknown and, with a condition, PreconditionFailed.
    """

    def __init__(
        self,
        base_url: str,
        connector_uuid: str | uuid.UUID,
        key_id: str,
        secret: str,
        *,
        session: Session | None = None,
        deadline_seconds: float = 10.0,
        timeout_seconds: float = 10.0,
        attempts: int = 10,
        clock: Callable[[], float] = time.time,
    ) -> None:
        url = urlsplit(base_url)
        plain = not ("@" in url.netloc or url.query or url.fragment)
        if not (url.scheme in ("http", "https") and url.hostname and plain):
            raise ValueError("base_url is http(s)://host[:port], with no user, query or fragment")
        self._origin = f"{url.scheme}://{url.netloc}"
        self._root = f"{url.path.rstrip('/')}{STATE_PATH}/{uuid.UUID(str(connector_uuid))}"
        if not KEY_ID.fullmatch(key_id):
            # No header could hold it: the request would not be sent, again and again.
            raise ValueError("key_id is 1 to 64 letters, digits or +/_=-, without a newline")
        self._key_id = key_id
        # A keyed hash to copy for each request, so that no attribute holds the secret.
        self._mac = hmac.new(secret.encode(), digestmod="sha256")
        self._deadline, self._timeout = deadline_seconds, timeout_seconds
        self._attempts, self._clock = attempts, clock
        self._owned = session is None
        self._session: Session = self._new_session() if session is None else session

    def _new_session(self) -> Session:
        raise NotImplementedError

    def _authorization(self, method: str, target: str, body: bytes, ts: int, nonce: str) -> str:
        mac = self._mac.copy()
        mac.update(f"{method}|{target}|{ts}|{nonce}|".encode() + body)
        sig = base64.b64encode(mac.digest()).decode()
        return f"DSX-HMAC key_id={self._key_id}, ts={ts}, nonce={nonce}, sig={sig}"


class _Call:
    """One call of a client with its deadline; each method is a generator without I/O."""

    def __init__(self, client: _Client[Any]) -> None:
        self._client = client
        self._until = time.monotonic() + client._deadline

    def get(self, ns: str, key: str, *, version: str | None = None) -> Steps[Value | None]:
        """Return the stored value, or None if nothing is stored; any failure raises.

        Args:
            version: an ETag; return the value that has it or had it, never None. Its
                `ttl_seconds` is None.

        Raises:
            VersionGone: the service does not keep that value (any more).
        """
        return (yield from self._read(_value, ns, key, query={"version": version}))

    def put(
        self,
        ns: str,
        key: str,
        value: str,
        *,
        ttl: int | None = None,
        if_match: str | None = None,
        if_none_match: Literal["*"] | None = None,
        equal_is_ours: bool = True,
    ) -> Steps[str]:
        """Store a value and return its ETag.

        Args:
            ttl: the seconds until it expires; None: never.
            if_match: write only over the value with this ETag.
            if_none_match: "*": write only if nothing is stored.
            equal_is_ours: after a lost reply, if the same value is stored, take it for this
                write. Pass False for counters and locks, to get OutcomeUnknown instead.
        """
        if not isinstance(value, str):
            raise TypeError(
                f"a value is a str, not {type(value).__name__}; encode it, as in base64"
            )
        put = Put(key, value, ttl, if_match, if_none_match)
        yield from self._write(ns, "PUT", put, value.encode(), equal_is_ours)
        return _etag_of(value)

    def delete(
        self, ns: str, key: str, *, if_match: str | None = None, equal_is_ours: bool = True
    ) -> Steps[None]:
        """Delete the value, if there is one; with if_match, only the value with this ETag."""
        yield from self._write(ns, "DELETE", Delete(key, if_match), b"", equal_is_ours)

    def update(
        self,
        ns: str,
        key: str,
        fn: Callable[[str | None], str | None],
        *,
        ttl: int | None = None,
        attempts: int = 100,
        equal_is_ours: bool = True,
    ) -> Steps[Value | None]:
        """Store fn(old value or None) by compare-and-swap; return the new value.

        If another writer comes in between, it reads and calls `fn` again.

        Args:
            fn: returns the new value, or None to delete it; it may be called many times.
            ttl, equal_is_ours: as in put. The TTL of the old value is not kept.
            attempts: the number of calls of `fn` before PreconditionFailed is raised.
        """
        for attempt in range(1, attempts + 1):
            old = yield from self.get(ns, key)
            new = fn(None if old is None else old.value)
            match = None if old is None else old.etag
            try:
                if new is None:
                    if old is not None:
                        yield from self.delete(ns, key, if_match=match, equal_is_ours=equal_is_ours)
                    return None
                etag = yield from self.put(
                    ns,
                    key,
                    new,
                    ttl=ttl,
                    if_match=match,
                    if_none_match="*" if old is None else None,
                    equal_is_ours=equal_is_ours,
                )
                return Value(new, etag, ttl)
            except PreconditionFailed as error:
                yield self._pause(error, attempt, attempts)
        raise ValueError("attempts must be 1 or more")

    def batch(
        self, ns: str, operations: Sequence[Operation], *, equal_is_ours: bool = True
    ) -> Steps[list[Result]]:
        """Carry out up to 100 operations on different keys; all of the writes happen, or none."""
        wire = [{"op": type(it).__name__.lower()} | _given(asdict(it)) for it in operations]
        body = json.dumps({"operations": wire}, ensure_ascii=False).encode()
        target = self._target(ns)

        def send() -> Steps[list[Result]]:
            answer = yield from self._attempt("POST", target, body, 200, "application/json")
            return _parse(answer, lambda data: _results(data, operations))

        def read() -> Steps[list[Result]]:
            return self.batch(ns, [Get(it.key) for it in operations])

        writes = operations if any(not isinstance(it, Get) for it in operations) else ()
        results, standing = yield from self._carry_out(send, writes, read, equal_is_ours)
        return list(map(_as_done, operations, standing)) if results is None else results

    def key_page(
        self, ns: str, prefix: str | None, page_size: int | None, cursor: str | None
    ) -> Steps[Page[KeyInfo]]:
        """Return one page of keys(), and the cursor of the next one."""
        query = {"prefix": prefix, "limit": page_size, "cursor": cursor}
        return (yield from self._read(_key_page, ns, query=query))

    def namespace_page(
        self, page_size: int | None, cursor: str | None
    ) -> Steps[Page[NamespaceInfo]]:
        """Return one page of namespaces(), and the cursor of the next one."""
        return (
            yield from self._read(_namespace_page, query={"limit": page_size, "cursor": cursor})
        )

    def _read(
        self,
        build: Callable[[Any, Mapping[str, str]], T],
        *segments: str,
        query: Mapping[str, object] = {},
    ) -> Steps[T]:
        target = self._target(*segments, query=query)
        answer, _ = yield from self._carry_out(lambda: self._attempt("GET", target))
        assert answer is not None
        headers = answer.headers
        return _parse(answer, lambda data: build(data, headers))

    def _write(
        self, ns: str, method: str, write: Put | Delete, body: bytes, equal_is_ours: bool
    ) -> Steps[None]:
        query = {name: it for name, it in asdict(write).items() if name not in ("key", "value")}
        target = self._target(ns, write.key, query=query)

        def read() -> Steps[list[Result]]:
            return [(yield from self.get(ns, write.key))]

        yield from self._carry_out(
            lambda: self._attempt(method, target, body, 204), [write], read, equal_is_ours
        )

    def _carry_out(
        self,
        send: Callable[[], Steps[T]],
        writes: Sequence[Operation] = (),
        read: Callable[[], Steps[list[Result]]] | None = None,
        equal_is_ours: bool = True,
    ) -> Steps[tuple[T | None, list[Result]]]:
        """Send until there is an answer; return it, or None and the values that `read` found.

        After a lost reply the same write is sent again. Without a condition, no harm is done if
        both are carried out. With one, the second succeeds if the old ETag still holds; otherwise
        it gets a 412, because the first was carried out or somebody else wrote: `read` finds out.
        """
        unsure, attempt = False, 0
        try:
            while True:
                attempt += 1
                try:
                    return (yield from send()), []
                except (Unavailable, RateLimited) as error:
                    unsure = unsure or (error.maybe_applied and bool(writes))
                    yield self._pause(error, attempt, self._client._attempts)
                except PreconditionFailed:
                    if not unsure or read is None:
                        raise
                    standing = yield from read()
                    # An ETag identifies a value, not a write. If the value we sent is stored, we
                    # wrote it, or somebody else wrote the same value: no difference for a cursor,
                    # but one for a counter or a lock. Hence equal_is_ours.
                    if not equal_is_ours or not all(map(_stands, writes, standing)):
                        raise
                    return None, standing
        except StateError as error:
            if unsure or (writes and error.maybe_applied):
                detail = f"It is not known whether the write was carried out. {error.detail}"
                raise OutcomeUnknown(detail, error.status, error.code) from error
            raise

    def _attempt(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        expect: int = 200,
        content_type: str = "text/plain; charset=utf-8",
    ) -> Steps[Answer]:
        """Sign and send a request once; raise unless its status is the expected one."""
        client, nonce = self._client, base64.b64encode(os.urandom(12)).decode()
        signed = client._authorization(method, target, body, int(client._clock()), nonce)
        headers = {"Authorization": signed} | ({"Content-Type": content_type} if body else {})
        # Half of the time left: if no answer comes, there is time for another request.
        timeout = max(0.05, min(client._timeout, (self._until - time.monotonic()) / 2))
        reply = yield Request(method, target, body, headers, timeout)
        assert reply is not None
        if isinstance(reply, Lost):
            name = type(reply.error).__name__
            if isinstance(reply.error, ValueError) and not reply.sent:  # nor would be the next one
                error = StateError(f"The request can't be sent: {name}.")
            else:
                error = Unavailable(f"No answer from {client._origin}: {name}.")
            error.maybe_applied = reply.sent
            raise error from reply.error
        if reply.status != expect:
            raise _error(reply, client._clock())
        return reply

    def _pause(self, error: StateError, attempt: int, attempts: int) -> Pause:
        """Return the pause after this error; raise the error if no time or attempt is left."""
        backoff = min(BACKOFF_MAX_SECONDS, BACKOFF_SECONDS * 2**attempt)
        seconds = (error.retry_after_seconds or 0) + random.uniform(0, backoff)  # noqa: S311
        if attempt >= attempts or time.monotonic() + seconds >= self._until:
            raise error
        return Pause(seconds)

    def _target(self, *segments: str, query: Mapping[str, object] = {}) -> str:
        if not {"", ".", ".."}.isdisjoint(segments):
            raise ValueError("'', '.' and '..' can't stand in a URL; a batch can name such a key")
        if segments and "/" in segments[0]:
            raise ValueError("a namespace holds no '/'")
        path = "/".join([self._client._root, *(quote(it, safe="") for it in segments)])
        encoded = urlencode(_given(query), quote_via=quote, safe="")
        return f"{path}?{encoded}" if encoded else path


def _etag_of(value: str) -> str:
    """Return the ETag that the service gives a value: the SHA-1 of its UTF-8 bytes."""
    return hashlib.sha1(value.encode(), usedforsecurity=False).hexdigest()


def _given(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: it for name, it in fields.items() if it is not None}


def _stands(operation: Operation, standing: Result) -> bool:
    """Tell whether a conditional write can be seen to have been carried out."""
    if isinstance(operation, Get) or not _given(asdict(operation)).keys() & CONDITIONS:
        return True
    wanted = _etag_of(operation.value) if isinstance(operation, Put) else None
    return (standing.etag if isinstance(standing, Value) else None) == wanted


def _as_done(operation: Operation, standing: Result) -> Result:
    if isinstance(operation, Put):
        return _etag_of(operation.value)
    return True if isinstance(operation, Delete) else standing


def _parse(answer: Answer, build: Callable[[Any], T]) -> T:
    """Return build(the answer's JSON); raise StateError if its shape is wrong."""
    try:
        return build(json.loads(answer.body))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise StateError(NOT_OURS, answer.status, "unexpected_answer") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _value(data: Any, headers: Mapping[str, str]) -> Value | None:
    value, ttl = _text(data["value"]), headers.get("State-TTL")
    if value == "" and "ETag" not in headers:
        return None
    # Not the header's ETag: a proxy that compresses makes it weak, or adds a suffix.
    return Value(value, _etag_of(value), None if ttl is None else int(ttl))


def _results(data: Any, operations: Sequence[Operation]) -> list[Result]:
    return [_result(it, result) for it, result in zip(operations, data["results"], strict=True)]


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


def _key_page(data: Any, _: object) -> Page[KeyInfo]:
    keys = [KeyInfo(it["key"], it["size"], it["etag"], it["ttl"]) for it in data["keys"]]
    return keys, data["next_cursor"]


def _namespace_page(data: Any, _: object) -> Page[NamespaceInfo]:
    found = [NamespaceInfo(it["namespace"], it["keys"]) for it in data["namespaces"]]
    return found, data["next_cursor"]


def _error(answer: Answer, now: float) -> StateError:
    status, detail, code = answer.status, NOT_OURS, ""
    try:
        data = json.loads(answer.body)
        detail, code = _text(data["detail"]), _text(data["code"])
    except (ValueError, TypeError, KeyError):
        pass  # such as a proxy's web page
    if code == "timestamp_out_of_window":
        return _clock_skew(answer, now)
    if code == "replayed":
        # The client never uses a nonce twice, so something on the way (a retrying adapter, a proxy)
        # has sent the request twice. The other copy was accepted; its answer is lost.
        error = Unavailable(detail, status, code)
        error.maybe_applied = True
        return error
    after = answer.headers.get("Retry-After", "")
    kind = VersionGone if code == "version_gone" else ERRORS.get(status, StateError)
    return kind(detail, status, code, float(after) if after.isdecimal() else None)


def _clock_skew(answer: Answer, now: float) -> ClockSkew:
    try:
        skew = now - parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (KeyError, ValueError):
        skew = None
    way = "ahead of" if (skew or 0) > 0 else "behind"
    off = "is not on" if skew is None else f"is {abs(skew):.0f} s {way}"
    detail = f"This machine's clock {off} the server's. Fix the clock (NTP); the key is fine."
    error = ClockSkew(detail, answer.status, "timestamp_out_of_window")
    error.skew_seconds = skew
    return error


NOT_OURS = "The answer is not from this API. Is base_url the address of Statekeep?"
CONDITIONS = {"if_match", "if_none_match"}
ERRORS: dict[int, type[StateError]] = {401: Refused, 403: Refused, 412: PreconditionFailed}
ERRORS |= {429: RateLimited, 502: Unavailable, 503: Unavailable, 504: Unavailable}


# --- The drivers ------------------------------------------------------------------------------


def _sync(
    steps: Callable[Concatenate[_Call, P], Steps[T]],
) -> Callable[Concatenate["StateClient", P], T]:
    """Turn a method of _Call into one of StateClient."""

    @functools.wraps(steps)
    def method(self: "StateClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(steps(_Call(self), *args, **kwargs))

    return method


def _async(
    steps: Callable[Concatenate[_Call, P], Steps[T]],
) -> Callable[Concatenate["AsyncStateClient", P], Coroutine[Any, Any, T]]:
    """Turn a method of _Call into one of AsyncStateClient."""

    @functools.wraps(steps)
    async def method(self: "AsyncStateClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(steps(_Call(self), *args, **kwargs))

    return method


class StateClient(_Client["requests.Session | httpx.Client"]):
    """A connector's state, over a requests.Session or an httpx.Client.

    Without a `session` it uses requests if that is installed, else httpx.
    """

    get, put, delete = _sync(_Call.get), _sync(_Call.put), _sync(_Call.delete)
    update, batch = _sync(_Call.update), _sync(_Call.batch)
    _key_page, _namespace_page = _sync(_Call.key_page), _sync(_Call.namespace_page)

    def keys(
        self, ns: str, prefix: str | None = None, page_size: int | None = None
    ) -> Iterator[KeyInfo]:
        """Iterate over the keys of a namespace, page by page."""
        return self._pages(lambda cursor: self._key_page(ns, prefix, page_size, cursor))

    def namespaces(self, page_size: int | None = None) -> Iterator[NamespaceInfo]:
        """Iterate over the namespaces, page by page."""
        return self._pages(lambda cursor: self._namespace_page(page_size, cursor))

    def _pages(self, page: Callable[[str | None], Page[T]]) -> Iterator[T]:
        items, cursor = page(None)
        yield from items
        while cursor is not None:
            items, cursor = page(cursor)
            yield from items

    def _run(self, steps: Steps[T]) -> T:
        reply: Answer | Lost | None = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as stop:
                return cast(T, stop.value)
            reply = None
            if isinstance(step, Request):
                reply = self._send(step)
            else:
                time.sleep(step.seconds)

    def _send(self, request: Request) -> Answer | Lost:
        httpx = sys.modules.get("httpx")
        by_httpx = httpx is not None and isinstance(self._session, httpx.Client)
        send = _send_by_httpx if by_httpx else _send_by_requests
        return send(self._session, self._origin, request)

    def _new_session(self) -> "requests.Session | httpx.Client":
        try:
            import requests
        except ImportError:
            import httpx

            return httpx.Client(timeout=self._timeout)
        return requests.Session()

    def close(self) -> None:
        """Close the session, if the client made it."""
        if self._owned:
            self._session.close()

    def __enter__(self) -> "StateClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncStateClient(_Client["httpx.AsyncClient"]):
    """A connector's state, over an httpx.AsyncClient."""

    get, put, delete = _async(_Call.get), _async(_Call.put), _async(_Call.delete)
    update, batch = _async(_Call.update), _async(_Call.batch)
    _key_page, _namespace_page = _async(_Call.key_page), _async(_Call.namespace_page)

    def keys(
        self, ns: str, prefix: str | None = None, page_size: int | None = None
    ) -> AsyncIterator[KeyInfo]:
        """Iterate over the keys of a namespace, page by page."""
        return self._pages(lambda cursor: self._key_page(ns, prefix, page_size, cursor))

    def namespaces(self, page_size: int | None = None) -> AsyncIterator[NamespaceInfo]:
        """Iterate over the namespaces, page by page."""
        return self._pages(lambda cursor: self._namespace_page(page_size, cursor))

    async def _pages(
        self, page: Callable[[str | None], Coroutine[Any, Any, Page[T]]]
    ) -> AsyncIterator[T]:
        items, cursor = await page(None)
        for item in items:
            yield item
        while cursor is not None:
            items, cursor = await page(cursor)
            for item in items:
                yield item

    async def _run(self, steps: Steps[T]) -> T:
        reply: Answer | Lost | None = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as stop:
                return cast(T, stop.value)
            reply = None
            if isinstance(step, Request):
                reply = await self._send(step)
            else:
                await asyncio.sleep(step.seconds)

    async def _send(self, request: Request) -> Answer | Lost:
        import httpx

        try:
            response = await self._session.request(**_httpx_arguments(self._origin, request))
        except httpx.RequestError as error:
            return _httpx_lost(error)
        return Answer(response.status_code, response.headers, response.content)

    def _new_session(self) -> "httpx.AsyncClient":
        import httpx

        return httpx.AsyncClient(timeout=self._timeout)

    async def aclose(self) -> None:
        """Close the session, if the client made it."""
        if self._owned:
            await self._session.aclose()

    async def __aenter__(self) -> "AsyncStateClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _httpx_arguments(origin: str, request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": origin + request.target,
        "content": request.body or None,
        "headers": request.headers,
        "timeout": request.timeout_seconds,
        "auth": None,  # the session's own would replace our Authorization
        "follow_redirects": False,  # signed for this target; a PUT may become a GET
    }


def _httpx_lost(error: Exception) -> Lost:
    import httpx

    unsent = httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout
    return Lost(error, sent=not isinstance(error, unsent))


def _send_by_httpx(session: Any, origin: str, request: Request) -> Answer | Lost:
    import httpx

    try:
        response = session.request(**_httpx_arguments(origin, request))
    except httpx.RequestError as error:
        return _httpx_lost(error)
    return Answer(response.status_code, response.headers, response.content)


def _send_by_requests(session: Any, origin: str, request: Request) -> Answer | Lost:
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
        cause = error.args[0] if error.args else None
        reason = getattr(cause, "reason", None)
        # InvalidURL and its like come before anything is sent, and so does InvalidHeader, but for
        # that of an answer, which urllib3 raises.
        invalid = isinstance(error, ValueError)
        unsent = (
            isinstance(error, requests.ConnectTimeout)
            or isinstance(reason, urllib3.exceptions.NewConnectionError)
            or (invalid and not isinstance(cause, urllib3.exceptions.InvalidHeader))
        )
        return Lost(error, sent=not unsent)
    return Answer(response.status_code, response.headers, response.content)
