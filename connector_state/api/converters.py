"""Path converters: what the routes take, newlines and upper-case UUIDs included.

Django's own would answer 404 to a key with a newline or an upper-case UUID, where a 400 that says
why, or the connector, is due.
"""

from uuid import UUID

_HEX = "[0-9a-fA-F]"
_BARE = f"(?:{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}|{_HEX}{{32}})"


class ConnectorUUIDConverter:
    """A UUID in any case, and in each form that register takes, as a dsx-connect does.

    The view gets its canonical form, lower case with hyphens: keys and permissions go by that.
    """

    regex = rf"(?:{_BARE}|\{{{_BARE}\}}|urn:uuid:{_BARE})"

    def to_python(self, value: str) -> str:
        return str(UUID(value))

    def to_url(self, value: object) -> str:
        return str(value).lower()


class SegmentConverter:
    """Anything but a slash."""

    regex = "[^/]+"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class RestConverter(SegmentConverter):
    """The rest of the path, slashes and newlines included."""

    regex = "(?s:.+)"
