"""Logging: one line for each record, whatever a client sent."""

import logging
import time
from typing import Any

from common.visible import printable


class LineFormatter(logging.Formatter):
    """Formats `2026-01-01T00:00:00Z LEVEL logger message`, in UTC, with controls escaped.

    A record may quote what a client sent: escaping keeps a newline in it from forging a second
    record, and an escape sequence from reaching a terminal. Tracebacks keep their lines.
    """

    converter = time.gmtime  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(
            "%(asctime)sZ %(levelname)s %(name)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S"
        )

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        return printable(super().formatMessage(record))


def configuration(level: str) -> dict[str, Any]:
    """Return Django's LOGGING, which writes to standard error.

    Args:
        level: of this project's loggers; others log warnings.
    """
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
            # A 4xx concerns the client alone. But forms that are refused as forged may mean that
            # CSRF_TRUSTED_ORIGINS lacks the address of a proxy, which operators have to know.
            "django.request": {"level": "ERROR"},
            "django.security": {"level": "CRITICAL"},
            "django.security.csrf": {"level": "WARNING"},
        },
    }
