"""What operators may name a connector."""

from connector_state.errors import InvalidRequest

NAME_MAX_LENGTH = 255


def clean_name(text: str) -> str:
    """Return the name without space around it.

    Raises:
        InvalidRequest: it is empty, too long, or holds what can't be printed.
    """
    name = text.strip()
    if not 0 < len(name) <= NAME_MAX_LENGTH or not name.isprintable():
        raise InvalidRequest(
            f"A name is 1 to {NAME_MAX_LENGTH} printable characters.", code="invalid_name"
        )
    return name
