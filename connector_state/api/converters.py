"""Path converters: what the routes take, newlines and upper-case UUIDs included.

Django's own would answer 404 to a key with a newline or an upper-case UUID, where a 400 that says
why, or the connector, is due.
"""


class ConnectorUUIDConverter:
    """A UUID in any case; the view gets its canonical, lower-case form."""

    regex = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

    def to_python(self, value: str) -> str:
        return value.lower()

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
