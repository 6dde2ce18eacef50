"""JSON as RFC 8259 has it: Python's own reader also takes NaN, Infinity and repeated names."""

import json
from typing import Any, NoReturn


class RepeatedName(ValueError):
    """A name is there twice in an object, so readers may differ in which one holds."""


def loads(text: str, **options: Any) -> Any:
    """Return the value of a JSON text.

    Args:
        options: as json.loads takes them.

    Raises:
        ValueError: it is not JSON, or its values are nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, **options)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def loads_at(text: str, at: int, **options: Any) -> tuple[Any, int]:
    """Return the value that begins at this place of a text, and the place where it ends.

    Args:
        options: as json.JSONDecoder takes them.

    Raises:
        ValueError: as of `loads`.
    """
    try:
        return json.JSONDecoder(parse_constant=_refuse_constant, **options).raw_decode(text, at)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object that has no name twice: the object_pairs_hook of `loads`.

    Raises:
        RepeatedName: it has one.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RepeatedName("a name is repeated")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
