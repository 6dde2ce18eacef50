"""`manage.py list_connectors [--json]`."""

import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table

from connector_state.management.operator import printable
from connector_state.models import Connector
from connector_state.usage import Usage, usage_of

PIPED_WIDTH = 160  # wide enough to fold nothing that grep looks for
COLUMNS = ("name", "uuid", "status", "keys", "bytes", "last_used", "credentials")


class Command(BaseCommand):
    """List the connectors."""

    help = "List the connectors with what they use and their live credentials (never a secret)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """--json."""
        parser.add_argument("--json", action="store_true", help="one JSON object a line")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a table, or lines of JSON."""
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
        table = Table(show_edge=False)
        for column in COLUMNS:
            table.add_column(column.replace("_", " "), overflow="fold")
        for row in rows:
            table.add_row(*(_cell(row[column]) for column in COLUMNS))
        width = None if self.stdout.isatty() else PIPED_WIDTH
        console = Console(file=self.stdout, markup=False, highlight=False, width=width)  # type: ignore[arg-type]
        console.print(table)


def _row(connector: Connector, usage: Usage | None) -> dict[str, Any]:
    used = usage.last_used if usage else {}
    return {
        "name": connector.name,
        "uuid": str(connector.uuid),
        "status": connector.status,
        "keys": usage.keys if usage else None,
        "bytes": usage.bytes if usage else None,
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


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return "\n".join(credential["key_id"] for credential in value) or "none live"
    return printable(str(value))
