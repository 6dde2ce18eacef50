"""The state calls over REST. Contract: connector-state-kv.md."""

import json
from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.views import APIView

from connector_state.api.authentication import (
    DSXHMACAuthentication,
    OwnConnector,
    report_refusal,
)
from connector_state.core import parameters
from connector_state.errors import InvalidRequest, SignatureRefused
from connector_state.store.calls import Caller, Nonce
from connector_state.store.keys import Address
from connector_state.store.values import Entry, StateStore


class ConnectorAPIView(APIView):
    """What every call of a connector has in common.

    The method is checked before anything else, and an answer of success to a signed request whose
    nonce nobody claimed is turned into a 500: it could be replayed.

    Answers are Django's own HttpResponse with JSON in it, whatever the client says it accepts: of
    what DRF does around a view, negotiating, rendering and the Allow header of each answer are
    left out. They would cost a state call a fifth of its time.
    """

    authentication_classes = [DSXHMACAuthentication]
    permission_classes = [OwnConnector]
    default_response_headers: dict[str, str] = {}
    max_body_bytes = 0

    principal: Any = None
    nonce: Nonce | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check method, signature and permission."""
        if (request.method or "").lower() not in self.http_method_names:
            self.http_method_not_allowed(request, *args, **kwargs)
        self.principal, self.nonce = request.user, cast("Nonce | None", request.auth)
        self.check_permissions(request)

    def finalize_response(  # type: ignore[override]
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Fail closed if the nonce was not claimed."""
        if self.nonce is not None and not self.nonce.claimed and _is_success(response.status_code):
            raise RuntimeError(f"{type(self).__name__} answered without claiming the nonce")
        response.headers["Cache-Control"] = "no-store"
        return response

    def handle_exception(self, exc: Exception) -> HttpResponseBase:  # type: ignore[override]
        """Report what only the store can refuse (a replay, a mark) as the other refusals are."""
        if isinstance(exc, SignatureRefused) and self.principal is not None:
            report_refusal(
                exc, self.request._request, self.kwargs["connector_uuid"], self.principal.key_id
            )
        return super().handle_exception(exc)

    @property
    def caller(self) -> Caller:
        """The connector, under the nonce of this request and its own limits."""
        assert self.nonce is not None
        return Caller(self.principal.key_id, self.nonce, self.principal.policy.limits)


class StateView(ConnectorAPIView):
    """One value: read, store, delete."""

    http_method_names = ["get", "head", "put", "delete"]

    @property
    def max_body_bytes(self) -> int:  # type: ignore[override]
        """The limit of a value."""
        return int(settings.STATE_MAX_VALUE_BYTES)

    def get(self, request: Request, connector_uuid: str, ns: str, key: str) -> HttpResponse:
        """`{"value": "..."}`, an empty string when nothing is stored."""
        address = Address(ns, key)
        self.principal.policy.check_namespace(ns)
        known = _if_none_match(request._request)
        entry = StateStore(self.principal.uuid, self.caller).get(address)
        if entry is None:
            return json_response({"value": ""})
        headers = entry_headers(entry)
        if known == "*" or entry.etag in known.split(","):
            return HttpResponse(status=304, headers=headers)
        return json_response({"value": entry.text}, headers)

    def put(self, request: Request, connector_uuid: str, ns: str, key: str) -> HttpResponse:
        """Store the body. `?ttl=SECONDS`, `?if_match=ETAG`, `?if_none_match=*`."""
        address = Address(ns, key)
        self.principal.policy.check_write(ns)
        wsgi_request = request._request
        query = parameters.read_query(
            wsgi_request, ("ttl", "if_match", "if_none_match"), strict=True
        )
        etag = StateStore(self.principal.uuid, self.caller).put(
            address,
            utf8_body(wsgi_request),
            parameters.ttl_seconds(query),
            parameters.condition(wsgi_request, query),
        )
        return no_content({"ETag": f'"{etag}"'})

    def delete(self, request: Request, connector_uuid: str, ns: str, key: str) -> HttpResponse:
        """Delete the value, if there is one. `?if_match=ETAG`."""
        address = Address(ns, key)
        self.principal.policy.check_write(ns)
        wsgi_request = request._request
        query = parameters.read_query(wsgi_request, ("if_match", "if_none_match"), strict=True)
        condition = parameters.condition(wsgi_request, query)
        StateStore(self.principal.uuid, self.caller).delete(address, condition)
        return no_content()


def json_response(data: Any, headers: dict[str, str] | None = None) -> HttpResponse:
    """Return a JSON answer; DRF's Response would cost a state call a tenth of its time."""
    return HttpResponse(json.dumps(data), content_type="application/json", headers=headers)


def no_content(headers: dict[str, str] | None = None) -> HttpResponse:
    """Return a 204; what has no content has no type either."""
    response = HttpResponse(status=204, headers=headers)
    del response.headers["Content-Type"]
    return response


def entry_headers(entry: Entry) -> dict[str, str]:
    """The ETag of a value, and how long it still lives."""
    headers = {"ETag": f'"{entry.etag}"'}
    if entry.ttl_seconds is not None:
        headers["State-TTL"] = str(entry.ttl_seconds)
    return headers


def utf8_body(request: HttpRequest) -> bytes:
    """Return the body.

    Raises:
        InvalidRequest: code `value_not_utf8`; it could not be answered as a JSON string.
    """
    body = request.body
    try:
        body.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("The value must be UTF-8 text.", code="value_not_utf8") from None
    return body


def _if_none_match(request: HttpRequest) -> str:
    header = request.META.get("HTTP_IF_NONE_MATCH")
    if header is None:
        return ""
    return parameters.header_condition("If-None-Match", header)


def _is_success(status: int) -> bool:
    return 200 <= status < 300 or status == 304
