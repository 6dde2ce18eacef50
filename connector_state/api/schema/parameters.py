"""The parameters of the calls, and the headers of their answers."""

from drf_spectacular.utils import OpenApiParameter

from connector_state.core.parameters import TTL_MAX_SECONDS

QUERY, HEADER, PATH = OpenApiParameter.QUERY, OpenApiParameter.HEADER, OpenApiParameter.PATH


def text(name: str, location: str, description: str, **schema: object) -> OpenApiParameter:
    kind = {"type": "string", **schema}
    is_path = location == PATH
    return OpenApiParameter(name, kind, location, required=is_path, description=description)  # type: ignore[arg-type]


def whole(name: str, description: str, least: int, most: int) -> OpenApiParameter:
    kind = {"type": "integer", "minimum": least, "maximum": most}
    return OpenApiParameter(name, kind, QUERY, description=description)


_etag = r'^(\*|"?[0-9a-f]{40}"?)$'
UUID = text("connector_uuid", PATH, "The connector of the credential.", format="uuid")
NS = text("ns", PATH, "1 to 128 bytes without `:` and `/`.", minLength=1, maxLength=128)
KEY = text(
    *("key", PATH, "1 to 512 bytes, sent as Python's `quote(key, safe='')` writes it."),
    minLength=1,
    maxLength=512,
)
IF_MATCH = (
    text("if_match", QUERY, "Write only if what is stored has this ETag.", pattern=_etag),
    text("If-Match", HEADER, "The same, but not covered by the signature."),
)
IF_NONE_MATCH = (
    text("if_none_match", QUERY, "`*`: write only if nothing is stored.", pattern=_etag),
    text("If-None-Match", HEADER, "The same, but not covered by the signature."),
)
READ_PARAMETERS = (
    text("version", QUERY, "Read the value that has, or had, this ETag.", pattern=_etag),
    text("If-None-Match", HEADER, "Answer 304 if the value still has this ETag."),
    OpenApiParameter(
        "State-TTL", int, HEADER, description="Seconds that it still lives.", response=[200, 304]
    ),
)
PAGE_PARAMETERS = (
    whole("limit", "How many a page has; 100 without it.", 1, 200),
    text("cursor", QUERY, "The `next_cursor` of the page before."),
)


def etag_header(*statuses: int) -> OpenApiParameter:
    description = "The ETag of the value, for conditions."
    return OpenApiParameter("ETag", str, HEADER, description=description, response=list(statuses))


TTL = whole("ttl", "Seconds after which it expires; never, without it.", 1, TTL_MAX_SECONDS)
