"""One log line a record, whatever a client put into it."""

import logging
import time


class LineFormatter(logging.Formatter):
    """`2026-01-01T00:00:00Z LEVEL logger message`, in UTC, control characters escaped.

    A record's own text may quote what a client sent; escaping keeps a newline in it from forging
    a second record, and an escape sequence from reaching a terminal. Tracebacks keep their lines.
    """

    converter = time.gmtime  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(
            "%(asctime)sZ %(levelname)s %(name)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S"
        )

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return the record's line with everything unprintable escaped."""
        line = super().formatMessage(record)
        if line.isprintable():
            return line
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
