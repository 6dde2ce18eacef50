"""The parameters of the calls, and the headers of their answers."""

from typing import Literal

from drf_spectacular.utils import OpenApiParameter

from common.openapi import HEADER, PATH, QUERY
from connector_state.core.parameters import TTL_MAX_SECONDS


def text(
    name: str, location: Literal["query", "header", "path"], description: str, **schema: object
) -> OpenApiParameter:
    """Return a parameter that is text; `schema` says of which form."""
    kind = {"type": "string", **schema}
    is_path = location == PATH
    return OpenApiParameter(name, kind, location, required=is_path, description=description)


def whole(name: str, description: str, least: int, most: int) -> OpenApiParameter:
    """Return a parameter of a query that is a whole number."""
    kind = {"type": "integer", "minimum": least, "maximum": most}
    return OpenApiParameter(name, kind, QUERY, description=description)


_etag = r'^(\*|"?[0-9a-f]{40}"?)$'
_quoted = r'^(\*|(W/)?"[!#-~]*")$'
UUID = text("connector_uuid", PATH, "The connector of the credential.", format="uuid")
NS = text(
    *("ns", PATH, "1 to 128 bytes without `:` and `/`."),
    pattern=r"^[^:/\x00-\x1f\x7f-\x9f]{1,128}$",
)
KEY = text(
    *("key", PATH, "1 to 512 bytes, sent as Python's `quote(key, safe='')` writes it."),
    pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,512}$",
)
IF_MATCH = (
    text("if_match", QUERY, "Write only if what is stored has this ETag.", pattern=_etag),
    text("If-Match", HEADER, "The same, but not signed.", pattern=_quoted),
)
IF_NONE_MATCH = (
    text("if_none_match", QUERY, "`*`: write only if nothing is stored.", pattern=_etag),
    text("If-None-Match", HEADER, "The same, but not signed.", pattern=_quoted),
)
READ_PARAMETERS = (
    text("version", QUERY, "Read the value that has, or had, this ETag.", pattern=_etag),
    text(
        *("If-None-Match", HEADER),
        "ETags in double quotes: answer 304 if the value still has one. Anything else is ignored.",
    ),
    OpenApiParameter(
        "State-TTL", int, HEADER, description="Seconds that it still lives.", response=[200, 304]
    ),
)
PAGE_PARAMETERS = (
    whole("limit", "How many a page has; 100 without it.", 1, 200),
    text("cursor", QUERY, "The `next_cursor` of the page before."),
)


def etag_header(*statuses: int) -> OpenApiParameter:
    """Return the header ETag of the answers of these statuses."""
    description = "The ETag of the value, for conditions."
    return OpenApiParameter("ETag", str, HEADER, description=description, response=list(statuses))


TTL = whole("ttl", "Seconds after which it expires; never, without it.", 1, TTL_MAX_SECONDS)
