"""One log line a record, whatever a client put into it."""

import logging
import time
from typing import Any


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


def configuration(level: str) -> dict[str, Any]:
    """Return Django's LOGGING: one line a record on standard error, our own from this level on."""
    own = {name: {"level": level} for name in ("connector_state", "chat", "config", "overview")}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": LineFormatter}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": "WARNING"},
        "loggers": {
            **own,
            "django": {"handlers": ["console"], "level": "WARNING", "propagate": False},
            # A 4xx is the client's to know; but that a form was refused as forged, as behind a
            # proxy that CSRF_TRUSTED_ORIGINS leaves out, the operator's.
            "django.request": {"level": "ERROR"},
            "django.security": {"level": "CRITICAL"},
            "django.security.csrf": {"level": "WARNING"},
        },
    }
