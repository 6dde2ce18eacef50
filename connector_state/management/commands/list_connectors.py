"""`manage.py list_connectors [--json]`."""

import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from io import StringIO
from shutil import get_terminal_size
from typing import Any

from django.core.management.base import BaseCommand
from django.template.defaultfilters import filesizeformat
from django.utils.formats import date_format
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table

from common.visible import printable
from connector_state.models import Connector
from connector_state.store.usage import Usage, usage_of

PIPED_WIDTH = 160  # wide enough to fold nothing that grep looks for
COLUMNS = ("name", "uuid", "status", "keys", "size", "credentials", "last used")
# What a narrow terminal goes without, in this order.
LEFT_OUT = ("size", "keys", "last used", "status", "credentials", "name")
NAME_MIN_WIDTH = 10  # names are folded, nothing else is


class Command(BaseCommand):
    help = "List the connectors with what they use and their live credentials (never a secret)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object per line")

    def handle(self, *args: Any, **options: Any) -> None:
        connectors = list(Connector.objects.prefetch_related("credentials"))
        try:
            usage = usage_of(str(connector.uuid) for connector in connectors)
        except RedisError as error:
            self.stderr.write(
                f"Redis does not answer, so keys, bytes and uses are unknown: {error}"
            )
            usage = {}
        rows = [_row(connector, usage.get(str(connector.uuid))) for connector in connectors]
        if options["json"]:
            for row in rows:
                self.stdout.write(json.dumps(row))
            return
        width = get_terminal_size().columns if self.stdout.isatty() else PIPED_WIDTH
        text, left_out = _table([_cells(row) for row in rows], width)
        self.stdout.write(text)
        if left_out:
            self.stderr.write(f"For {', '.join(left_out)}: a wider terminal, or --json.")


def _row(connector: Connector, usage: Usage | None) -> dict[str, Any]:
    used = usage.last_used if usage else {}
    return {
        "name": connector.name,
        "uuid": str(connector.uuid),
        "status": connector.status,
        "keys": usage.keys if usage else None,
        "bytes": usage.bytes if usage else None,
        "history_bytes": usage.history_bytes if usage else None,
        "last_used": _time(usage.last_used_at) if usage else None,
        "credentials": [
            {
                "key_id": credential.key_id,
                "created": _time(credential.created_at),
                "expires": _time(credential.expires_at),
                "last_used": _time(used.get(credential.key_id)),
            }
            for credential in connector.credentials.all()
            if credential.is_live
        ],
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds")


def _cells(row: dict[str, Any]) -> dict[str, list[str]]:
    """Return the lines of each cell, so that each credential is beside its last use."""
    plain = {name: [_text(row[name])] for name in ("name", "uuid", "status", "keys")}
    credentials = row["credentials"] or [{"key_id": "none live", "last_used": row["last_used"]}]
    return {
        **plain,
        "size": ["-" if row["bytes"] is None else filesizeformat(row["bytes"])],
        "credentials": [credential["key_id"] for credential in credentials],
        "last used": [_moment(credential["last_used"]) for credential in credentials],
    }


def _text(value: Any) -> str:
    return "-" if value is None else printable(str(value))


def _moment(at: str | None) -> str:
    return "-" if at is None else date_format(datetime.fromisoformat(at), "DATETIME_FORMAT")


def _table(rows: list[dict[str, list[str]]], width: int) -> tuple[str, tuple[str, ...]]:
    """Return a table, and the names of the columns for which it is not wide enough."""
    # As text that the command prints: manage.py then notices a closed pipe, as it always does.
    text = StringIO()
    console = Console(file=text, markup=False, emoji=False, highlight=False, width=width)
    any_width = console.options.update(max_width=1000)
    for left_out in range(len(LEFT_OUT) + 1):
        table = Table(show_edge=False, pad_edge=False)
        shown = [column for column in COLUMNS if column not in LEFT_OUT[:left_out]]
        for column in shown:
            is_name = column == "name"
            min_width = NAME_MIN_WIDTH if is_name else None
            table.add_column(column, overflow="fold", no_wrap=not is_name, min_width=min_width)
        for row in rows:
            table.add_row(*("\n".join(row[column]) for column in shown))
        if console.measure(table, options=any_width).minimum <= width:
            break
    console.print(table)
    return text.getvalue(), LEFT_OUT[:left_out]
