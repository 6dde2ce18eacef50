"""`manage.py audit_log CONNECTOR`: who wrote, deleted or looked at what."""

import json
from argparse import ArgumentParser, ArgumentTypeError
from dataclasses import asdict
from datetime import timedelta
from itertools import islice
from typing import Any

from django.utils import timezone

from connector_state.management.base import ConnectorCommand, duration_seconds
from connector_state.models import Connector
from connector_state.store import audit


class Command(ConnectorCommand):
    help = "Print who wrote, deleted or read which key, newest first, one JSON object per line."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        for name in audit.FILTERS:
            choices = audit.OPERATIONS if name == "operation" else None
            parser.add_argument(f"--{name}", choices=choices, help=f"only entries of this {name}")
        parser.add_argument("--since", type=duration_seconds, metavar="DURATION", help="such as 7d")
        parser.add_argument("--limit", type=_limit, default=100, help="default 100; 0 for all")

    def handle_connector(self, connector: Connector, options: dict[str, Any]) -> None:
        since = options["since"]
        oldest = None if since is None else timezone.now() - timedelta(seconds=since)
        wanted = {name: options[name] for name in audit.FILTERS if options[name] is not None}
        entries = audit.entries(str(connector.uuid), oldest)
        matching = (entry for entry in entries if entry.matches(wanted))
        for entry in islice(matching, options["limit"] or None):
            line = asdict(entry) | {"at": entry.at.isoformat(timespec="milliseconds")}
            del line["id"]  # Redis' own
            self.stdout.write(json.dumps(line))


def _limit(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise ArgumentTypeError("must be a number, or 0 for all")
    return int(text)
