"""The state calls over REST. Contract: connector-state-kv.md."""

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, NoReturn, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import NotAuthenticated
from rest_framework.views import APIView

from common.client_ip import client_address
from common.json_answers import NOT_KEPT, json_response, no_content
from connector_state.api.authentication import (
    UNKNOWN_KEY_ID,
    ConnectorPrincipal,
    DSXHMACAuthentication,
    OwnConnector,
    report_refusal,
)
from connector_state.api.waiting import ON_LOOP, finish_now, waits_of
from connector_state.core import decide
from connector_state.core.decide import Answer, Decision
from connector_state.core.request import StateRequest
from connector_state.credentials import marks
from connector_state.credentials.counters import call_counts, refusals
from connector_state.errors import (
    Corrupt,
    Forbidden,
    RateLimited,
    SignatureRefused,
    ValueTooLarge,
)
from connector_state.store.calls import Caller, Nonce

REPORTED = (Forbidden, RateLimited, ValueTooLarge)  # an operator can do something about them


class ConnectorAPIView(APIView):
    """What every call of a connector has in common.

    A view is a coroutine. On an event loop `dispatch` returns it, to be awaited; under a WSGI
    server it runs it to its end. The methods of `on_loop` wait for nothing but their body,
    credential and Redis, and may run on a loop; config.door gives the others a thread.

    The method is checked before anything else, and an answer of success to a signed request whose
    nonce nobody claimed is turned into a 500: it could be replayed.

    Requests and answers are Django's own, with JSON in them, whatever the client says it accepts:
    of what DRF does around a view, its Request, negotiating, parsing, rendering and the headers of
    each answer are left out. They would cost a state call a fifth of its time.
    """

    permission_classes = [OwnConnector]
    view_is_async = False  # else Django would start a loop for each call under a WSGI server
    on_loop: frozenset[str] = frozenset()
    max_body_bytes = 0

    principal: Any = None
    nonce: Nonce | None = None
    address = ""  # of the client, once it has shown who it is

    def dispatch(  # type: ignore[override]
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer the request, or return what does so when it is awaited on the loop."""
        answering = self._answer(request)
        return answering if waits_of(request) is ON_LOOP else finish_now(answering)

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase
        outcome = call_counts.OK
        try:
            handler = self._handler(request)
            await self._authenticate(request)
            self.check_permissions(request)  # type: ignore[arg-type]
            answer = handler(request, *self.args, **self.kwargs)
            response = await answer if isawaitable(answer) else answer
        except Exception as exc:
            outcome = "500 server_error"  # unless there is an answer to it
            await self._report(exc, request)
            response = self.handle_exception(exc)
            outcome = f"{response.status_code} {getattr(exc, 'code', 'other')}"
        finally:
            if isinstance(self.principal, ConnectorPrincipal):
                uuid, key_id = self.principal.uuid, self.principal.key_id
                call_counts.count(uuid, key_id, self.address, outcome)
        if self.nonce is not None and not self.nonce.claimed and _is_success(response.status_code):
            raise RuntimeError(f"{type(self).__name__} answered without claiming the nonce")
        return response

    async def _report(self, exc: Exception, request: HttpRequest) -> None:
        """Count, and perhaps log, a refusal of a call whose signature was good."""
        if self.principal is None:
            return
        if isinstance(exc, SignatureRefused):
            # Only the store can tell a replay or a mark: it is reported as the others are.
            uuid, key_id = self.principal.uuid, self.principal.key_id
            is_logged = await report_refusal(exc, request, uuid, key_id)
            if is_logged and exc.reason == UNKNOWN_KEY_ID:  # not for each call of a flood
                await waits_of(request).run(marks.check, uuid)
        elif not isinstance(self.principal, ConnectorPrincipal):
            return
        elif isinstance(exc, REPORTED):
            refusals.count(exc.code, self.principal.uuid)
        elif isinstance(exc, Corrupt) and "key" in self.kwargs:
            member = f"{self.kwargs['ns']}:{self.kwargs['key']}"
            call_counts.note_unreadable(self.principal.uuid, member)

    def _handler(self, request: HttpRequest) -> Callable[..., Any]:
        method = (request.method or "").lower()
        if method not in self.http_method_names:
            self.http_method_not_allowed(request)  # type: ignore[arg-type]
        return cast("Callable[..., Any]", getattr(self, method))

    async def _authenticate(self, request: HttpRequest) -> None:
        """Set principal and nonce; leave them None for a caller who shows nothing."""
        found: Any = self.get_authenticators()[0].authenticate(request)  # type: ignore[arg-type]
        if isawaitable(found):
            found = await found
        if found is not None:
            self.principal, self.nonce = found
            self.address = client_address(request)

    def get_authenticators(self) -> list[BaseAuthentication]:
        return [DSXHMACAuthentication(self.max_body_bytes)]

    def permission_denied(self, request: Any, message: Any = None, code: Any = None) -> NoReturn:
        """Raise a 401: a caller who showed who it is is refused by the permission itself."""
        raise NotAuthenticated()

    @property
    def caller(self) -> Caller:
        """The connector, under the nonce of this request and its own limits."""
        assert self.nonce is not None
        principal = self.principal
        return Caller(principal.key_id, self.nonce, principal.policy.limits, self.address)

    async def carry_out(self, decision: Decision) -> HttpResponse:
        """Carry out what was decided, under the caller's nonce, and answer."""
        waits = waits_of(self.request)
        results = await waits.operate(self.principal.uuid, self.caller, decision.operations)
        return http_response(decision.answer(results))


class StateView(ConnectorAPIView):
    """One value: read, store, delete."""

    http_method_names = ["get", "head", "put", "delete"]
    on_loop = frozenset({"GET", "HEAD", "PUT", "DELETE"})

    @property
    def max_body_bytes(self) -> int:  # type: ignore[override]
        return int(settings.STATE_MAX_VALUE_BYTES)

    async def get(
        self, request: HttpRequest, connector_uuid: str, ns: str, key: str
    ) -> HttpResponse:
        """`{"value": "..."}`, an empty string when nothing is stored."""
        return await self.carry_out(
            decide.read(state_request(request), self.principal.policy, ns, key)
        )

    # Django would set it on each view, which then refers to itself: garbage for the collector.
    head = get

    async def put(
        self, request: HttpRequest, connector_uuid: str, ns: str, key: str
    ) -> HttpResponse:
        """Store the body. `?ttl=SECONDS`, `?if_match=ETAG`, `?if_none_match=*`."""
        return await self.carry_out(
            decide.store(state_request(request), self.principal.policy, ns, key)
        )

    async def delete(
        self, request: HttpRequest, connector_uuid: str, ns: str, key: str
    ) -> HttpResponse:
        """Delete the value, if there is one. `?if_match=ETAG`."""
        return await self.carry_out(
            decide.delete(state_request(request), self.principal.policy, ns, key)
        )


def state_request(request: HttpRequest) -> StateRequest:
    """Return what core reads of a request whose signature was verified."""
    meta = request.META
    return StateRequest(
        query=meta.get("QUERY_STRING", ""),
        if_match=meta.get("HTTP_IF_MATCH"),
        if_none_match=meta.get("HTTP_IF_NONE_MATCH"),
        body=request.body,
    )


def http_response(answer: Answer) -> HttpResponse:
    """Return core's answer as Django's."""
    if answer.status == 204:
        return no_content(answer.headers)
    if answer.data is None:
        return HttpResponse(status=answer.status, headers={**answer.headers, **NOT_KEPT})
    return json_response(answer.data, answer.headers)


def _is_success(status: int) -> bool:
    return 200 <= status < 300 or status == 304
