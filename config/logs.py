"""Logging: one line for each record, whatever a client sent; or JSON."""

import logging
import time
from typing import Any, Literal

from pythonjsonlogger.core import RESERVED_ATTRS

from common.telemetry.request import current
from common.visible import printable

JSON_NAMES = {"levelname": "level", "name": "logger", "exc_info": "traceback"}


class OfRequest(logging.Filter):
    """Adds to a record whose request it belongs to: request_id, connector, user."""

    def filter(self, record: logging.LogRecord) -> bool:
        if request := current():
            for name in ("request_id", "connector", "user"):
                if value := getattr(request, name):
                    setattr(record, name, value)
        return True


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
        request_id = getattr(record, "request_id", "")
        ending = f" [request {request_id}]" if request_id else ""
        return printable(super().formatMessage(record)) + ending


def configuration(level: str, style: Literal["line", "json"]) -> dict[str, Any]:
    """Return Django's LOGGING, which writes to standard error.

    Args:
        level: of this project's loggers; others log warnings.
        style: lines for people, or an object of JSON for each record.
    """
    own = {name: {"level": level} for name in ("connector_state", "chat", "config", "overview")}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"of_request": {"()": OfRequest}},
        "formatters": {
            "line": {"()": LineFormatter},
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "fmt": ["levelname", "name", "message"],
                "rename_fields": JSON_NAMES,
                "timestamp": True,
                "reserved_attrs": [*RESERVED_ATTRS, "request"],  # Django's own, an object
            },
        },
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "formatter": style,
                "filters": ["of_request"],
            }
        },
        "root": {"handlers": ["console"], "level": "WARNING"},
        "loggers": {
            **own,
            "config.access": {"level": "INFO"},  # ACCESS_LOG says whether there are any
            "django": {"handlers": ["console"], "level": "WARNING", "propagate": False},
            # A 4xx concerns the client alone. But forms that are refused as forged may mean that
            # CSRF_TRUSTED_ORIGINS lacks the address of a proxy, which operators have to know.
            "django.request": {"level": "ERROR"},
            "django.security": {"level": "CRITICAL"},
            "django.security.csrf": {"level": "WARNING"},
        },
    }
