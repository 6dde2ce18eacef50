"""`manage.py import_dsx_connect`: take over a dsx-connect's connectors."""

import tempfile
from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from common.events.changes import record_command
from common.events.models import Event
from common.progress import Progress
from connector_state.management.base import StateCommand, operator_name
from connector_state.operator_session import OperatorSession
from connector_state.transfer import dsx_connect
from connector_state.transfer.dsx_connect import Found, Skipped, Taken
from connector_state.transfer.importing import Imported, import_file, preview


class Command(StateCommand):
    help = (
        "Take over the connectors of a dsx-connect for good: their credentials and their state, "
        "read from DSX_CONNECT_REDIS_URL, whose user must be allowed to SCAN, GET, PTTL and "
        "HMGET. Existing keys are kept, unless --overwrite is given. A second run changes nothing. "
        "docs/connectors.md says when to run it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would happen")
        parser.add_argument(
            "--state-only",
            action="store_true",
            help="do not copy the credentials: look them up there while the dsx-connect runs",
        )
        parser.add_argument("--overwrite", action="store_true", help="replace values that exist")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DSX_CONNECT_REDIS_URL:
            raise CommandError("Set DSX_CONNECT_REDIS_URL and DSX_CONNECT_ENV.")
        self.total: Counter[str] = Counter()
        self.has_state = not dsx_connect.is_our_redis()
        found = dsx_connect.find_connectors()
        with Progress(self.stderr, len(found)) as progress:
            for number, each in enumerate(found):
                for line in self._take(each, options):
                    progress.write(self.stdout, f"{each.uuid}: {line}")
                progress.update(number + 1, f"{number + 1} connectors")
        self._sum_up(len(found), options)

    def _take(self, found: Found, options: dict[str, Any]) -> list[str]:
        """Take over one connector; return what is to be told of it."""
        connector = dsx_connect.connector_for(found, stays_there=options["state_only"])
        if connector is None:
            return ["skipped: it was deleted here while it was disabled; create it first"]
        is_new = connector._state.adding
        if is_new:
            self.total["connectors"] += 1
            if not options["dry_run"]:
                connector.save(force_insert=True)
        told = ["new"] if is_new else []
        if not options["state_only"]:
            taken = dsx_connect.take_credential(
                connector, is_new=is_new, dry_run=options["dry_run"]
            )
            self.total["credentials"] += taken is Taken.NEW
            if taken is not Taken.KNOWN:
                told.append(f"credential {taken.value}")
        if self.has_state:
            session = OperatorSession.of(connector, operator_name())
            told += self._take_state(session, found, options)
        return told

    def _take_state(
        self, session: OperatorSession, found: Found, options: dict[str, Any]
    ) -> list[str]:
        counts, skipped = Imported(), Skipped()
        with tempfile.TemporaryFile() as file:
            file.writelines(dsx_connect.export(found, settings.STATE_MAX_VALUE_BYTES, skipped))
            batches = (
                preview(session, file, counts)
                if options["dry_run"]
                else import_file(session, file, counts, overwrite=options["overwrite"])
            )
            for _ in batches:
                pass
        replaced = counts.different if options["overwrite"] else 0
        self.total["values"] += counts.new + replaced
        self.total["kept"] += counts.different - replaced
        unusable = skipped.count + counts.foreign
        self.total["skipped"] += unusable
        told = [f"{counts.new + replaced} values"] if counts.new + replaced else []
        if counts.different > replaced:
            told.append(f"{counts.different} different values kept as they are here")
        if unusable:
            told.append(f"{unusable} values skipped: too large, no string, or without an address")
        return told

    def _sum_up(self, number: int, options: dict[str, Any]) -> None:
        total = self.total
        self.stdout.write(
            f"{'Would take over' if options['dry_run'] else 'Took over'}, of {number} connectors: "
            f"{total['connectors']} connectors, {total['credentials']} credentials, "
            f"{total['values']} values; kept {total['kept']} different values; "
            f"skipped {total['skipped']} values"
        )
        if not options["dry_run"]:
            words = (
                f"Took over from the dsx-connect: {total['connectors']} connectors, "
                f"{total['credentials']} credentials, {total['values']} values."
            )
            record_command(Event.Kind.IMPORT, Event.Area.STATE, words)
        if not self.has_state:
            self.stdout.write(
                "Its Redis is also the Redis of Statekeep, so the values are already in place: run "
                "reindex_connector_state."
            )
