"""What pydantic refuses, in words that can be shown."""

from collections.abc import Container

from pydantic import ValidationError


def first_error(error: ValidationError, fields: Container[object]) -> tuple[str, str]:
    """Return the place of the first error ("" for the whole) and what is wrong there.

    Args:
        error: of a model of ours.
        fields: the names to tell, beside positions in lists. Others may be someone's text.
    """
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    place = [str(part) for part in first["loc"] if isinstance(part, int) or part in fields]
    return ".".join(place), first["msg"].removeprefix("Value error, ")
