"""`manage.py import_state CONNECTOR FILE`: store the values of an export."""

import os
from argparse import ArgumentParser
from typing import Any, BinaryIO

from django.core.management.base import CommandError

from common.events.changes import record_command
from common.events.models import Event
from common.progress import Progress
from common.visible import printable
from connector_state.errors import InvalidRequest
from connector_state.management.base import ConnectorCommand, operator_name
from connector_state.management.files import file_error, open_file
from connector_state.models import Connector
from connector_state.operator_session import OperatorSession
from connector_state.transfer.importing import Imported, header_of, import_file, preview

PROGRESS_EVERY = 100  # batches


class Command(ConnectorCommand):
    help = (
        "Store the keys of an export (docs/export.md) for a connector, within its quotas. Existing "
        "keys are kept, unless --overwrite is given. It is safe to run this again. The audit "
        "records every write."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", metavar="FILE", help="an export; - for standard input")
        parser.add_argument("--overwrite", action="store_true", help="replace values that exist")
        parser.add_argument("--dry-run", action="store_true", help="only say what would happen")
        parser.add_argument(
            "--other-connector",
            action="store_true",
            help="accept another connector's file, and store its keys for this connector",
        )

    def handle_connector(self, connector: Connector, options: dict[str, Any]) -> None:
        session = OperatorSession.of(connector, operator_name())
        try:
            with open_file(options["file"]) as file:
                self._check_header(session, file, options)
                self._import(session, file, options)
        except BrokenPipeError:
            raise  # of the output, not of the file: manage.py ends quietly
        except OSError as error:
            raise file_error(options["file"], error) from error

    def _check_header(
        self, session: OperatorSession, file: BinaryIO, options: dict[str, Any]
    ) -> None:
        """Refuse another connector's file, unless the operator says that it is meant."""
        uuid = str(header_of(file).connector)
        if uuid == session.uuid:
            return
        warning = f"The file is an export of another connector, {uuid}"
        if not options["dry_run"] and not options["other_connector"]:
            raise CommandError(f"{warning}. If that is intended, give --other-connector.")
        self.stderr.write(f"{warning}.")

    def _import(self, session: OperatorSession, file: BinaryIO, options: dict[str, Any]) -> None:
        """Import batch by batch; print and record what was stored, also when it breaks off."""
        total, dry_run = Imported(), options["dry_run"]
        batches = (
            preview(session, file, total)
            if dry_run
            else import_file(session, file, total, overwrite=options["overwrite"])
        )
        size = os.fstat(file.fileno()).st_size
        is_whole = nothing_stored = False
        try:
            with Progress(self.stderr, size, every=PROGRESS_EVERY) as progress:
                for _ in batches:
                    progress.update(file.tell(), f"{total.new + total.existing} keys")
            is_whole = True
        except InvalidRequest:
            nothing_stored = True  # the file is read to its end before
            raise
        finally:
            if not dry_run and not nothing_stored:
                _record(session, total, is_whole=is_whole)
            if is_whole or not dry_run:  # counts of a part say nothing about what would happen
                self._print(total, dry_run=dry_run)
        if total.invalid:
            raise CommandError("Nothing of this file can be imported until that is mended.")

    def _print(self, total: Imported, *, dry_run: bool) -> None:
        for problem in total.problems:
            self.stderr.write(printable(problem))
        self.stdout.write(
            f"{'Would import' if dry_run else 'Imported'}: {total.new} new; existing: "
            f"{total.different} different, {total.equal} equal; {total.expired} expired, "
            f"{total.foreign} where no value stands, {total.invalid} invalid"
        )


def _record(session: OperatorSession, total: Imported, *, is_whole: bool) -> None:
    words = (
        f"Imported a file{'' if is_whole else ' in part'}: "
        f"{total.new} new keys, {total.existing} that existed."
    )
    about = {"connector_uuid": session.uuid}
    record_command(Event.Kind.IMPORT, Event.Area.STATE, words, **about)
