"""Validate the names that operators give to connectors."""

from uuid import UUID

from connector_state.errors import InvalidRequest

NAME_MAX_LENGTH = 255


def clean_name(text: str) -> str:
    """Return the name without the space around it.

    Raises:
        InvalidRequest: code `invalid_name`: it is empty, too long, has unprintable characters, or
            is a UUID.
    """
    name = text.strip()
    if not 0 < len(name) <= NAME_MAX_LENGTH or not name.isprintable():
        raise InvalidRequest(
            f"A name is 1 to {NAME_MAX_LENGTH} printable characters.", code="invalid_name"
        )
    try:
        UUID(name)
    except ValueError:
        return name
    # Commands would take it for the UUID of another connector.
    raise InvalidRequest("A name can't be a UUID.", code="invalid_name")
