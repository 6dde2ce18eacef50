"""Listing and batches over REST: a connector's namespaces, and the keys of one."""

import base64
from dataclasses import asdict

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from common.json_answers import json_response
from connector_state.api.views import ConnectorAPIView, http_response, state_request
from connector_state.api.waiting import waits_of
from connector_state.core import decide, parameters
from connector_state.errors import InvalidRequest, PreconditionFailed
from connector_state.store import index
from connector_state.store.keys import check_namespace

PAGE_DEFAULT = 100
PAGE_MAX = 200


class NamespacesView(ConnectorAPIView):
    """The namespaces of a connector."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest, connector_uuid: str) -> HttpResponse:
        """`?limit=&cursor=`. Namespaces that the connector may not use are left out."""
        query = parameters.read_query(_query_of(request), ("limit", "cursor"), strict=False)
        page = index.list_namespaces(
            self.principal.uuid, self.caller, _cursor(query), _limit(query)
        )
        allows = self.principal.policy.allows
        rows = [asdict(row) for row in page.namespaces if allows(row.namespace)]
        last = page.namespaces[-1].namespace if page.more else None
        return json_response({"namespaces": rows, "next_cursor": _encode_cursor(last)})


class NamespaceView(ConnectorAPIView):
    """The keys of one namespace."""

    http_method_names = ["get", "head", "post"]
    on_loop = frozenset({"POST"})

    @property
    def max_body_bytes(self) -> int:  # type: ignore[override]
        """The limit of a batch; a listing has no body."""
        return int(settings.STATE_MAX_BATCH_BYTES) if self.request.method == "POST" else 0

    def get(self, request: HttpRequest, connector_uuid: str, ns: str) -> HttpResponse:
        """`?prefix=&limit=&cursor=`: keys with size, ETag and TTL, in byte order."""
        check_namespace(ns)
        self.principal.policy.check_namespace(ns)
        query = _prefixed_query(_query_of(request))
        prefix, after, limit = query.get("prefix", ""), _cursor(query), _limit(query)
        page = index.list_keys(self.principal.uuid, self.caller, ns, prefix, after, limit)
        keys = [
            {"key": row.key, "size": row.size, "etag": row.etag, "ttl": row.ttl_seconds}
            for row in page.keys
        ]
        next_cursor = _encode_cursor(page.last if page.more else None)
        return json_response({"keys": keys, "next_cursor": next_cursor})

    async def post(self, request: HttpRequest, connector_uuid: str, ns: str) -> HttpResponse:
        """A batch: reads, and writes that happen all or not at all."""
        waits = waits_of(request)
        # Megabytes of JSON take milliseconds, in which nobody else on a loop is served.
        decision = await waits.run(
            decide.batch,
            state_request(request),
            self.principal.policy,
            ns,
            settings.STATE_MAX_VALUE_BYTES,
        )
        try:
            results = await waits.operate(self.principal.uuid, self.caller, decision.operations)
        except PreconditionFailed as failed:
            failed.detail = f"operations.{failed.operation}: {failed.detail}"
            raise
        response: HttpResponse = await waits.run(lambda: http_response(decision.answer(results)))
        return response


def _query_of(request: HttpRequest) -> str:
    return str(request.META.get("QUERY_STRING", ""))


def _prefixed_query(raw: str) -> dict[str, str]:
    query = parameters.read_query(raw, ("prefix", "limit", "cursor"), strict=False)
    if len(query.get("prefix", "").encode()) > index.PREFIX_MAX_BYTES:
        raise InvalidRequest(
            f"prefix may have at most {index.PREFIX_MAX_BYTES} bytes.", code="invalid_parameter"
        )
    return query


def _limit(query: dict[str, str]) -> int:
    text = query.get("limit", str(PAGE_DEFAULT))
    return parameters.whole_number("limit", text, 1, PAGE_MAX)


def _cursor(query: dict[str, str]) -> str:
    """Return the name after which the page begins, "" for the first page."""
    text = query.get("cursor", "")
    try:
        return base64.b64decode(text.encode(), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise InvalidRequest(
            "cursor must be a next_cursor that this call returned.", code="invalid_parameter"
        ) from None


def _encode_cursor(name: str | None) -> str | None:
    return None if name is None else base64.urlsafe_b64encode(name.encode()).decode()
