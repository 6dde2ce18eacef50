"""Validate the names that operators give to connectors."""

from connector_state.errors import InvalidRequest

NAME_MAX_LENGTH = 255


def clean_name(text: str) -> str:
    """Return the name without the space around it.

    Raises:
        InvalidRequest: code `invalid_name`: it is empty, too long, or has unprintable characters.
    """
    name = text.strip()
    if not 0 < len(name) <= NAME_MAX_LENGTH or not name.isprintable():
        raise InvalidRequest(
            f"A name is 1 to {NAME_MAX_LENGTH} printable characters.", code="invalid_name"
        )
    return name
