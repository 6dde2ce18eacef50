"""What a model thought, as it goes back to its server, put together from fragments."""

from typing import Any


def joined(before: Any, more: Any) -> Any:
    """Return a field of a message with what an event adds to it: text, or a list of details."""
    return before + more if type(before) is type(more) else more
