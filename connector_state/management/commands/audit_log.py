"""`manage.py audit_log CONNECTOR`: who wrote, deleted or looked at what."""

import json
from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from redis.exceptions import RedisError

from connector_state.management.operator import duration_seconds, find_connector
from connector_state.store import audit


class Command(BaseCommand):
    """Print a connector's audit."""

    help = "Print who wrote, deleted or looked at what, newest first, one JSON object a line."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """CONNECTOR, filters, --since, --limit."""
        parser.add_argument("connector", metavar="CONNECTOR", help="its UUID, or its name")
        for name in audit.FILTERS:
            parser.add_argument(
                f"--{name}",
                choices=audit.OPERATIONS if name == "operation" else None,
                help=f"entries of this {name} alone",
            )
        parser.add_argument("--since", type=duration_seconds, metavar="DURATION", help="such as 7d")
        parser.add_argument("--limit", type=_limit, default=100, help="default 100; 0 for all")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the entries that match."""
        connector = find_connector(options["connector"])
        since = options["since"]
        entries = audit.entries(
            str(connector.uuid),
            None if since is None else timezone.now() - timedelta(seconds=since),
        )
        wanted = {name: options[name] for name in audit.FILTERS if options[name] is not None}
        matching = (entry for entry in entries if entry.matches(wanted))
        try:
            for entry in islice(matching, options["limit"] or None):
                self.stdout.write(
                    json.dumps(
                        {
                            "at": entry.at.isoformat(timespec="milliseconds"),
                            "operation": entry.operation,
                            "by": entry.by,
                            "namespace": entry.namespace,
                            "key": entry.key,
                            "size": entry.size,
                            "etag": entry.etag,
                        }
                    )
                )
        except RedisError as error:
            raise CommandError(f"Redis did not answer: {error}") from error


def _limit(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise ArgumentTypeError("must be a number, or 0 for all")
    return int(text)
