"""Make docs/openapi.yaml, which the server serves as it is.

drf-spectacular changes the routes while it looks at them, so no process that answers calls may use
it. It is no requirement of the service.
"""

import json
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.settings import spectacular_settings
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

import chat.api.schema.calls  # noqa: F401 - it describes the calls
import connector_state.api.schema.calls  # noqa: F401 - so does it
from chat.api.schema.shapes import SECURITY_SCHEMES as CHAT_SCHEMES
from common.openapi import COMMON_ERRORS, described, error_answers
from config.openapi.options import OPTIONS
from config.version import NAME, VERSION
from connector_state.api.schema.errors import ERRORS
from connector_state.api.schema.shapes import SECURITY_SCHEMES as STATE_SCHEMES

Endpoint = tuple[str, str, str, Any]


def _health(operation: str, summary: str, bodies: dict[int, Any], **more: Any) -> Any:
    return extend_schema(
        operation_id=operation,
        summary=summary,
        tags=["Health"],
        auth=[],
        request=None,
        responses=bodies,
        **more,
    )


_HEALTH = {"$ref": "#/components/schemas/Health"}
_ERROR = {"$ref": "#/components/schemas/Error"}
_LIVE = {
    200: OpenApiResponse(_HEALTH, "It does.", [OpenApiExample("live", {"status": "ok"})]),
    **error_answers(COMMON_ERRORS, "busy", "server_error"),
}
_UNREADY = "What can't be used is named; or, with `busy`, too many calls at once."
_READY = {
    200: OpenApiResponse(_HEALTH, "They do."),
    503: OpenApiResponse({"anyOf": [_HEALTH, _ERROR]}, _UNREADY),
    **error_answers(COMMON_ERRORS, "server_error"),
}
_FOR = OpenApiParameter(
    "for",
    {"type": "string", "enum": ["state"]},
    description="`state`: the database is not needed while known connectors are served.",
)
_WHICH = (
    "Which version this is",
    {
        200: OpenApiResponse(
            {"$ref": "#/components/schemas/Version"},
            "It is this one.",
            [OpenApiExample("version", {"name": NAME, "version": VERSION, "revision": None})],
        ),
        **error_answers(COMMON_ERRORS, "busy", "server_error"),
    },
)
_LIVEZ = ("Whether the process serves", _LIVE)
_READYZ = ("Whether Redis and the database can be used", _READY)
# What is no view of DRF, or no view at all.
_OTHERS = {
    "/livez": described(get=_health("livez", *_LIVEZ), head=_health("livez_head", *_LIVEZ)),
    "/readyz": described(
        get=_health("readyz", *_READYZ, parameters=[_FOR]),
        head=_health("readyz_head", *_READYZ, parameters=[_FOR]),
    ),
    "/version": described(get=_health("version", *_WHICH), head=_health("version_head", *_WHICH)),
    "/dsx-connect/api/v1/scan/request": described(
        post=extend_schema(
            operation_id="scan",
            summary="Not served here, as all other calls of a dsx-connect",
            tags=["Connector state"],
            auth=[],
            request={"application/json": {"type": "object"}},
            responses=error_answers(ERRORS, "not_served_here", "busy", "server_error"),
            examples=[OpenApiExample("a scan", {"location": "a.txt"}, request_only=True)],
        ),
    ),
}


def add_endpoints(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Add what drf-spectacular does not find: HEAD, and what is no view of DRF."""
    added = [
        (path, path, method.upper(), view.as_view())
        for path, view in _OTHERS.items()
        for method in ("get", "head", "post")
        if hasattr(view, method)
    ]
    heads = [
        (path, regex, "HEAD", callback)
        for path, regex, method, callback in endpoints
        if method == "GET" and "head" in callback.cls.http_method_names
    ]
    return [*endpoints, *heads, *added]


def finish(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Take the bodies out of answers to HEAD; write once what many calls answer; add schemes."""
    components, shared = result["components"], dict[str, str]()
    components["securitySchemes"] = {**STATE_SCHEMES, **CHAT_SCHEMES}
    components["responses"] = {}
    for methods in result["paths"].values():
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                if method == "head":
                    response.pop("content", None)
                if status < "400":
                    continue
                text = json.dumps(response)
                name = shared.setdefault(text, f"Error{status}-{len(shared)}")
                components["responses"][name] = response
                operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
    return result


def document() -> bytes:
    """Return the document, in YAML."""
    spectacular_settings.apply_patches(OPTIONS)  # type: ignore[no-untyped-call]
    found: Any = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    text: bytes = OpenApiYamlRenderer().render(found)  # type: ignore[no-untyped-call]
    return text
