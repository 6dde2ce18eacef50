"""Client of Statekeep's connector state: one file, to be installed or copied.

    with StateClient(base_url, connector_uuid, key_id, secret) as state:
        cursor = state.get("m365", "delta")  # None only when nothing is stored
        state.put("m365", "delta", "token")

What to send, when to try again and what an answer means is decided in generators that do no I/O
(_Call): they yield a Request or a Pause, and are sent what came of it. StateClient (requests or
httpx) and AsyncStateClient (httpx) only drive them; both libraries are imported when used.
"""

import asyncio
import base64
import functools
import hashlib
import hmac
import json
import os
import random
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
BACKOFF_SECONDS, BACKOFF_MAX_SECONDS = 0.05, 1.0


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
        # Of this one attempt: a redirect or 4xx is a refusal; after all else, who knows.
        self.maybe_applied = status is None or not 300 <= status < 500


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


class _Client(Generic[Session]):
    """The state of one connector.

    Args:
        base_url: scheme, host and port of the service.
        connector_uuid, key_id, secret: the connector's credential.
        session: what to send with; it should not retry by itself. If None, the client makes one
            and closes it.
        deadline_seconds: for each call, with all its attempts and pauses.
        timeout_seconds, attempts: of one request; how many a call may send.
        clock: the time to sign with, unix seconds.

    Every method raises a StateError: Unavailable, RateLimited, Refused or ClockSkew; those that
    write also OutcomeUnknown and, with a condition, PreconditionFailed.
    """

    def __init__(
        self,
        base_url: str,
        connector_uuid: str,
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
        self._root = f"{url.path.rstrip('/')}{STATE_PATH}/{uuid.UUID(connector_uuid)}"
        self._key_id = key_id
        # A keyed hash to copy: the secret itself is kept nowhere that a dump of objects shows.
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
    """One call of a client, as generators without I/O: its attempts under one deadline."""

    def __init__(self, client: _Client[Any]) -> None:
        self._client = client
        self._until = time.monotonic() + client._deadline

    def get(self, ns: str, key: str) -> Steps[Value | None]:
        """Return what is stored. None means that nothing is; whatever fails raises."""
        return (yield from self._read(_value, ns, key))

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
            ttl: seconds it lives; None: for ever.
            if_match: write only over the value with this ETag.
            if_none_match: "*": write only where nothing is stored.
            equal_is_ours: after a lost reply, take the same value, found there, for our write.
                False (counters, locks): raise OutcomeUnknown then.
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
        """Delete what is stored, if anything is; with if_match only the value with this ETag."""
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
        """Compare and swap: store fn(old value or None), again until nobody came between.

        Args:
            fn: may be called many times; returns the new value, or None to delete.
            ttl, equal_is_ours: as in put. The TTL of the old value is not kept.
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
        """Carry out up to 100 operations on different keys, the writes all or nothing."""
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
        """One page of keys()."""
        query = {"prefix": prefix, "limit": page_size, "cursor": cursor}
        return (yield from self._read(_key_page, ns, query=query))

    def namespace_page(
        self, page_size: int | None, cursor: str | None
    ) -> Steps[Page[NamespaceInfo]]:
        """One page of namespaces()."""
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
        """Send until there is an answer; return it, or None and what `read` saw instead of one.

        After a lost reply the same write is simply sent again. Unconditional, it does no harm to
        be done twice. Conditional, it succeeds if the old ETag still stands. If it meets a 412
        instead, then either our first one was carried out, or somebody else wrote: `read` tells.
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
                    # An ETag names a content, not a write. If the value we sent stands there, it
                    # was our write, or another's of the very same value: for a cursor that makes
                    # no difference. For a counter or a lock it does, hence equal_is_ours.
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
        """Send once, signed anew; raise unless the answer is the expected one."""
        client, nonce = self._client, base64.b64encode(os.urandom(12)).decode()
        signed = client._authorization(method, target, body, int(client._clock()), nonce)
        headers = {"Authorization": signed} | ({"Content-Type": content_type} if body else {})
        # Half of what is left: an answer that never comes leaves time to ask again.
        timeout = max(0.05, min(client._timeout, (self._until - time.monotonic()) / 2))
        reply = yield Request(method, target, body, headers, timeout)
        assert reply is not None
        if isinstance(reply, Lost):
            error = Unavailable(f"No answer from {client._origin}: {type(reply.error).__name__}.")
            error.maybe_applied = reply.sent
            raise error from reply.error
        if reply.status != expect:
            raise _error(reply, client._clock())
        return reply

    def _pause(self, error: StateError, attempt: int, attempts: int) -> Pause:
        """Return how long to wait after this error; raise it when no time or attempt is left."""
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
    """Return the ETag that the service gives a value: SHA-1 of its bytes."""
    return hashlib.sha1(value.encode(), usedforsecurity=False).hexdigest()


def _given(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: it for name, it in fields.items() if it is not None}


def _stands(operation: Operation, standing: Result) -> bool:
    """Whether a conditional write is there to see. The others of its batch went with it."""
    if isinstance(operation, Get) or not _given(asdict(operation)).keys() & CONDITIONS:
        return True
    wanted = _etag_of(operation.value) if isinstance(operation, Put) else None
    return (standing.etag if isinstance(standing, Value) else None) == wanted


def _as_done(operation: Operation, standing: Result) -> Result:
    if isinstance(operation, Put):
        return _etag_of(operation.value)
    return True if isinstance(operation, Delete) else standing


def _parse(answer: Answer, build: Callable[[Any], T]) -> T:
    """Build a result of an answer's JSON; whatever is not of its shape is an error, never None."""
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
    # Not the header's ETag: proxies that compress make it weak, or add a suffix.
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
        pass  # a proxy's page
    if code == "timestamp_out_of_window":
        return _clock_skew(answer, now)
    if code == "replayed":
        # Our nonces never come again: something on the way (a retrying adapter, a proxy) sent the
        # request twice, and the other copy went through. Its answer is as good as lost.
        error = Unavailable(detail, status, code)
        error.maybe_applied = True
        return error
    after = answer.headers.get("Retry-After", "")
    kind = ERRORS.get(status, StateError)
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


NOT_OURS = "The answer is not of this API. Does base_url lead to Statekeep?"
CONDITIONS = {"if_match", "if_none_match"}
ERRORS: dict[int, type[StateError]] = {401: Refused, 403: Refused, 412: PreconditionFailed}
ERRORS |= {429: RateLimited, 502: Unavailable, 503: Unavailable, 504: Unavailable}


# --- The drivers ------------------------------------------------------------------------------


def _sync(
    steps: Callable[Concatenate[_Call, P], Steps[T]],
) -> Callable[Concatenate["StateClient", P], T]:
    """Make a method of StateClient of one of _Call."""

    @functools.wraps(steps)
    def method(self: "StateClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(steps(_Call(self), *args, **kwargs))

    return method


def _async(
    steps: Callable[Concatenate[_Call, P], Steps[T]],
) -> Callable[Concatenate["AsyncStateClient", P], Coroutine[Any, Any, T]]:
    """Make a method of AsyncStateClient of one of _Call."""

    @functools.wraps(steps)
    async def method(self: "AsyncStateClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(steps(_Call(self), *args, **kwargs))

    return method


class StateClient(_Client["requests.Session | httpx.Client"]):
    """A connector's state, over a requests.Session or an httpx.Client (made: requests', if any)."""

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
        "auth": None,  # the session's would take the place of our Authorization
        "follow_redirects": False,  # the signature is for this target; a PUT may turn into a GET
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
        reason = getattr(error.args[0] if error.args else None, "reason", None)
        unsent = isinstance(error, requests.ConnectTimeout) or isinstance(
            reason, urllib3.exceptions.NewConnectionError
        )
        return Lost(error, sent=not unsent)
    return Answer(response.status_code, response.headers, response.content)
