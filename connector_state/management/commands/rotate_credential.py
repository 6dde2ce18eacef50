"""`manage.py rotate_credential CONNECTOR [--overlap 24h] [--expires-in 90d] [--json]`."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from connector_state.credentials import marks
from connector_state.credentials.issuing import check_overlap, rotate_credential
from connector_state.management.base import (
    ConnectorCommand,
    duration_seconds,
    record_credential,
    write_issued,
)
from connector_state.models import Connector

DAY_SECONDS = 86_400


class Command(ConnectorCommand):
    help = (
        "Issue a new credential, which is shown once. The connector's other credentials expire "
        "after the overlap. A connector that enrols by token gets the new one with its next "
        "heartbeat."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--overlap",
            type=duration_seconds,
            default=DAY_SECONDS,
            metavar="DURATION",
            help="how long the old ones stay valid (default 24h; 0 ends them now)",
        )
        parser.add_argument(
            "--expires-in", type=duration_seconds, metavar="DURATION", help="default: never"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle_connector(self, connector: Connector, options: dict[str, Any]) -> None:
        overlap, expires_in = timedelta(seconds=options["overlap"]), options["expires_in"]
        ends = None if expires_in is None else timezone.now() + timedelta(seconds=expires_in)
        check_overlap(overlap, ends)
        with transaction.atomic():
            issued = rotate_credential(connector, overlap, ends)
            words = f"Issued credential {issued.key_id}; the others end in {options['overlap']} s."
            record_credential(connector, words)
        marks.mark_revoked(connector.pk, issued.ended, self.stderr.write)
        write_issued(self, issued, as_json=options["json"])
        self.stderr.write(f"The connector's other credentials end in {options['overlap']} s.")
