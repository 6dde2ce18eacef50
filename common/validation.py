"""Pydantic's errors, in words that can be shown: they never quote what was sent."""

from collections.abc import Container

from pydantic import ValidationError


def first_error(error: ValidationError, fields: Container[object] | None = None) -> tuple[str, str]:
    """Return the place of the first error ("" for the whole), and what is wrong there.

    Args:
        fields: the names that the place may hold beside positions in lists, None for any. A name
            that is not a field's is text that somebody sent.
    """
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    place = first["loc"]
    if fields is not None:
        place = tuple(part for part in place if isinstance(part, int) or part in fields)
    return ".".join(map(str, place)), first["msg"].removeprefix("Value error, ")


def in_words(
    error: ValidationError, fields: Container[object] | None = None, *, whole: str = ""
) -> str:
    """Return the first error as "place: what is wrong", without a full stop.

    Args:
        fields: see first_error.
        whole: the place to name where the error is of the whole.
    """
    place, message = first_error(error, fields)
    place = place or whole
    return f"{place}: {message}" if place else message
