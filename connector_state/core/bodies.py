"""JSON bodies of requests: what is wrong with one, in words."""

from pydantic import ValidationError

from connector_state.errors import InvalidRequest


def refusal(error: ValidationError, code: str) -> InvalidRequest:
    """Return what is wrong first, and where; never the value that it is wrong with."""
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "The body"
    return InvalidRequest(f"{where}: {first['msg']}.", code=code)
