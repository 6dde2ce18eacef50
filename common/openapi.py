"""What the apps' descriptions of their calls share.

A description is no decorator of its view, but a module beside it, which config.openapi.document
alone imports: the service itself runs without drf-spectacular.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final

from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework.views import APIView

QUERY: Final = "query"
HEADER: Final = "header"
PATH: Final = "path"

# An error code, the status that it comes with, and what it means.
Errors = Mapping[str, tuple[int, str]]
Describe = Callable[[Any], Any]  # what extend_schema returns

COMMON_ERRORS: Errors = {
    "not_found": (404, "There is no such path."),
    "invalid_path": (400, "The path is not UTF-8, percent-encoded, or has a `|`."),
    "method_not_allowed": (405, "The path knows other methods; `Allow` names them."),
    "body_too_slow": (408, "The body did not come in time."),
    "busy": (503, "Too many calls at once, in all or from one address."),
    "database_unavailable": (503, "The database can't be reached right now."),
    "database_denied": (503, "The database refuses the service; an operator has to act."),
    "server_error": (500, "An unexpected error; the server's log has it."),
}

RETRY_AFTER = OpenApiParameter(
    "Retry-After",
    int,
    HEADER,
    description="After how many seconds the same call may work.",
    response=[429, 503],
)


def error_answers(catalogue: Errors, *codes: str) -> dict[int, OpenApiResponse]:
    """Return the responses, by status, of a call that answers these codes of the catalogue."""
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for code in codes:
        by_status[catalogue[code][0]].append(code)
    return {
        status: OpenApiResponse(
            _error_schema(found),
            "\n".join(f"- `{code}`: {catalogue[code][1]}" for code in found),
            [OpenApiExample(found[0], {"detail": catalogue[found[0]][1], "code": found[0]})],
        )
        for status, found in sorted(by_status.items())
    }


def _error_schema(codes: list[str]) -> dict[str, Any]:
    return {
        "allOf": [
            {"$ref": "#/components/schemas/Error"},
            {"properties": {"code": {"enum": sorted(codes)}}},
        ]
    }


def describe(view: str, **methods: Describe) -> None:
    """Describe a view.

    Args:
        view: the dotted path of its class.
        methods: an extend_schema for each of its methods, in lower case.
    """
    members = {"target_class": view, "view_replacement": lambda _: described(**methods)}
    type(view.rpartition(".")[2], (OpenApiViewExtension,), members)


def described(**methods: Describe) -> type[APIView]:
    """Return a view for the document alone: it has these methods, and they answer nothing."""

    def method() -> Any:
        answer: Any = lambda self: None  # noqa: E731 - one each: extend_schema writes into it
        answer.schema = AutoSchema
        return answer

    members: dict[str, Any] = {name: extend(method()) for name, extend in methods.items()}
    return type("Described", (APIView,), {**members, "schema": AutoSchema()})
