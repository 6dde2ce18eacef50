"""`manage.py import_state CONNECTOR FILE`: values from an export."""

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError
from redis.exceptions import RedisError

from connector_state.errors import ConnectorStateError
from connector_state.management.operator import (
    cant_open,
    find_connector,
    operator_name,
    printable,
)
from connector_state.store.operator_session import OperatorSession
from connector_state.transfer.importing import Imported, header_of, import_file, preview

PROGRESS_EVERY = 100  # batches


class Command(BaseCommand):
    """Import values."""

    help = (
        "Store the keys of an export (docs/export.md) for a connector, within its quotas. What "
        "exists is kept, unless --overwrite. Safe to run again; every write is in the audit."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """CONNECTOR, FILE, --overwrite, --dry-run, --other-connector."""
        parser.add_argument("connector", metavar="CONNECTOR", help="its UUID, or its name")
        parser.add_argument("file", metavar="FILE", help="an export")
        parser.add_argument("--overwrite", action="store_true", help="replace values that exist")
        parser.add_argument("--dry-run", action="store_true", help="only say what would happen")
        parser.add_argument(
            "--other-connector",
            action="store_true",
            help="the file may be another connector's; its keys are stored for this one",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Import, with progress and totals."""
        session = OperatorSession.of(find_connector(options["connector"]), operator_name())
        try:
            with open(options["file"], "rb") as file:
                self.check_header(session, file, options)
                total = Imported()
                batches = (
                    preview(session, file, total)
                    if options["dry_run"]
                    else import_file(session, file, total, overwrite=options["overwrite"])
                )
                self.run_through(batches, total, dry_run=options["dry_run"])
        except ConnectorStateError as error:
            raise CommandError(printable(error.detail)) from error
        except RedisError as error:
            raise CommandError(f"Redis did not answer: {printable(str(error))}") from error
        except BrokenPipeError:
            raise  # of what is printed, not of the file: manage.py ends quietly
        except OSError as error:
            raise cant_open(options["file"], error) from error

    def check_header(
        self, session: OperatorSession, file: BinaryIO, options: dict[str, Any]
    ) -> None:
        """Another connector's file has to be meant."""
        uuid = str(header_of(file).connector)
        if uuid == session.uuid:
            return
        warning = f"The file is an export of another connector, {uuid}"
        if not options["dry_run"] and not options["other_connector"]:
            raise CommandError(f"{warning}. Say --other-connector if that is meant.")
        self.stderr.write(f"{warning}.")

    def run_through(self, batches: Iterator[None], total: Imported, *, dry_run: bool) -> None:
        """Print progress, and the totals, those of an import that broke off too."""
        try:
            for number, _ in enumerate(batches, 1):
                if number % PROGRESS_EVERY == 0:
                    self.stderr.write(f"  {total.new + total.existing} so far")
        finally:
            for problem in total.problems:
                self.stderr.write(printable(problem))
            self.stdout.write(
                f"{'Would import' if dry_run else 'Imported'}: {total.new} new; existing: "
                f"{total.different} different, {total.equal} equal; {total.expired} expired, "
                f"{total.foreign} where no value stands, {total.invalid} invalid"
            )
        if total.invalid:
            raise CommandError("Nothing of this file can be imported until that is mended.")
