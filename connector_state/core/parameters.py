"""Query parameters and conditional headers of the state calls, checked once, at the edge."""

import re
from collections.abc import Collection
from urllib.parse import parse_qsl, unquote_to_bytes

from connector_state.core.request import StateRequest
from connector_state.errors import InvalidRequest
from connector_state.store.operations import Condition

TTL_MAX_SECONDS = 10 * 366 * 86_400
PARAMETERS_MAX = 1000

_QUERY_ETAG = re.compile(r'\*|"?([0-9a-f]{40})"?')
_HEADER_ETAG = re.compile(r'(?:W/)?"[^"]*"')  # RFC 9110, 8.8.3
_LIST_MEMBER = re.compile(r'(?:"[^"]*"|[^,])+')  # an ETag may hold a comma
_QUOTED_ETAG = re.compile(r'"[0-9a-f]{40}"')
_NO_ETAG = "-"  # a condition that names no ETag of ours holds for none


def read_query(raw: str, known: Collection[str], *, strict: bool) -> dict[str, str]:
    """Return the query's parameters.

    Args:
        raw: the query as it was sent, as latin-1 text without "?".
        known: their names.
        strict: refuse unknown ones. For writes, where a misspelled condition must not be taken for
            none.

    Raises:
        InvalidRequest: a parameter is there twice or, if strict, unknown; or the query is not
            UTF-8, which the standard library would read as if it were.
    """
    if not raw:
        return {}
    sent = raw.encode("latin-1")
    try:
        unquote_to_bytes(sent).decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest("The query is not UTF-8.", code="invalid_parameter") from error
    try:
        pairs = parse_qsl(sent.decode(), keep_blank_values=True, max_num_fields=PARAMETERS_MAX)
    except ValueError:
        raise InvalidRequest(f"A query has at most {PARAMETERS_MAX} parameters.") from None
    parameters: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            if strict:
                knows = ", ".join(known) or "none"
                raise InvalidRequest(
                    f"Unknown parameter; this call knows {knows}.", code="unknown_parameter"
                )
            continue
        if name in parameters:
            raise _invalid(name, "is given twice")
        parameters[name] = value
    return parameters


def version(query: str) -> str:
    """Return the ETag of `version` in a query as it was sent, or "" where there is none.

    Raises:
        InvalidRequest: it is no ETag.
    """
    if "version" not in query:  # a read ignores all other parameters, well-formed or not
        return ""
    text = read_query(query, ("version",), strict=False).get("version")
    if text is None:
        return ""
    match = _QUERY_ETAG.fullmatch(text)
    if match is None or match[1] is None:
        raise _invalid("version", "must be an ETag that this service returned")
    return match[1]


def ttl_seconds(parameters: dict[str, str]) -> int | None:
    """Return `ttl`, or None."""
    text = parameters.get("ttl")
    return None if text is None else whole_number("ttl", text, 1, TTL_MAX_SECONDS)


def whole_number(name: str, text: str, least: int, most: int) -> int:
    """Return the parameter as a number from `least` to `most`."""
    if not re.fullmatch(r"[0-9]{1,12}", text) or not least <= int(text) <= most:
        raise _invalid(name, f"must be a whole number from {least} to {most}")
    return int(text)


def condition(request: StateRequest, parameters: dict[str, str]) -> Condition:
    """Return the condition of a write: signed parameters, or the headers of the same meaning.

    Raises:
        InvalidRequest: one is malformed, or header and parameter disagree.
    """
    return Condition(
        if_match=_one_of(parameters.get("if_match"), request.if_match, "if_match", "If-Match"),
        if_none_match=_one_of(
            parameters.get("if_none_match"), request.if_none_match, "if_none_match", "If-None-Match"
        ),
    )


def check_no_condition(request: StateRequest) -> None:
    """Make sure that a batch has no conditional header: it would not be checked.

    Raises:
        InvalidRequest: it has one.
    """
    for name, text in (("If-Match", request.if_match), ("If-None-Match", request.if_none_match)):
        if text is not None:
            operation = name.lower().replace("-", "_")
            raise _invalid(name, f"is for one value; in a batch give each operation {operation}")


def _one_of(query: str | None, header: str | None, query_name: str, header_name: str) -> str:
    from_query = None if query is None else etag_condition(query_name, query)
    from_header = None if header is None else header_condition(header_name, header)
    if from_query is not None and from_header is not None and from_query != from_header:
        raise InvalidRequest(
            f"{query_name} and the header {header_name} disagree; send one of them.",
            code="conflicting_conditions",
        )
    return from_query or from_header or ""


def etag_condition(name: str, text: str) -> str:
    """Return "*" or the bare ETag of a parameter."""
    match = _QUERY_ETAG.fullmatch(text)
    if match is None:
        raise _invalid(name, "must be * or an ETag that this service returned")
    return match[1] or "*"


def header_condition(name: str, text: str) -> str:
    """Return "*" or bare ETags, separated by commas, of a write's header.

    A list that holds anything else is refused whole: If-None-Match without the members that are
    not understood would let a write through that one of them forbids.

    Raises:
        InvalidRequest: it is neither * alone nor a list of ETags.
    """
    if text.strip() == "*":
        return "*"
    members = _members(text)
    if not members or not all(map(_HEADER_ETAG.fullmatch, members)):
        raise _invalid(name, "must be * alone, or ETags in double quotes")
    return _own_etags(members, weak=name == "If-None-Match") or _NO_ETAG


def known_etags(text: str | None) -> str:
    """Return "*" or bare ETags, separated by commas, of a read's If-None-Match.

    What is not understood is left out: a 304 only saves sending the value, and connectors take any
    failed read for an empty one.
    """
    text = (text or "").strip()
    return "*" if text == "*" else _own_etags(_members(text), weak=True)


def _members(text: str) -> list[str]:
    return [member for member in map(str.strip, _LIST_MEMBER.findall(text)) if member]


def _own_etags(members: list[str], *, weak: bool) -> str:
    """Return those that are ETags of this service, bare.

    If-None-Match compares weakly, so W/ is nothing there; If-Match strongly, so a weak ETag, like
    one that is not of this service, matches nothing (RFC 9110, 13.1).
    """
    tags = [member.removeprefix("W/") if weak else member for member in members]
    return ",".join(tag[1:-1] for tag in tags if _QUOTED_ETAG.fullmatch(tag))


def _invalid(name: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{name} {what}.", code="invalid_parameter")
