"""`manage.py export_state CONNECTOR`: write its values to a file that can be imported again."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import CommandError
from django.template.defaultfilters import pluralize
from redis.exceptions import RedisError

from common.progress import Progress
from common.visible import printable
from connector_state.errors import ConnectorStateError
from connector_state.management.base import ConnectorCommand, operator_name
from connector_state.management.files import file_error
from connector_state.models import Connector
from connector_state.operator_session import OperatorSession
from connector_state.store.usage import usage_of
from connector_state.transfer.exporting import export

PROGRESS_EVERY = 10_000  # keys


class Command(ConnectorCommand):
    help = (
        "Write a connector's keys, with their values and expiries, as JSON Lines (docs/export.md). "
        "The audit records it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--namespace", help="export only this one (default: all)")
        parser.add_argument(
            "--file", default="-", help="a new file that only you can read; - for standard output"
        )

    def handle_connector(self, connector: Connector, options: dict[str, Any]) -> None:
        namespace = options["namespace"]
        session = OperatorSession.of(connector, operator_name())
        try:
            with _opened(options["file"]) as file:
                # Of one namespace the number is not at hand: a spinner does for it.
                total = usage_of([session.uuid])[session.uuid].keys if namespace is None else None
                count = self._write(export(session, namespace), file, total)
        except ConnectorStateError as error:
            raise CommandError(f"{error.detail} The export is not whole.") from error
        except RedisError as error:
            raise CommandError(f"Redis did not answer: {error}. Nothing was exported.") from error
        if count:
            self.stderr.write(f"Exported {count} key{pluralize(count)}.")
            return
        where = "the connector" if namespace is None else f"namespace {namespace!r}"
        self.stderr.write(
            f"Nothing was exported: {where} has no keys, as far as the index knows "
            "(`reindex_connector_state` takes in what a dsx-connect stored)."
        )

    def _write(self, lines: Iterator[bytes], file: BinaryIO, total: int | None) -> int:
        """Write all lines; return the number of keys."""
        number = 0
        with Progress(self.stderr, total, every=PROGRESS_EVERY, output=file) as progress:
            for number, line in enumerate(lines):  # the header is line 0
                file.write(line)
                progress.update(number, f"{number} keys")
        return number - 1  # the last line is the end


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    """Open a new file that only its owner can read. It is removed if the export fails."""
    if name == "-":
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandError(f"{printable(name)}: {error.strerror}; name a new file.") from error
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
    except BaseException as error:
        path.unlink()
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise file_error(name, error) from error  # such as a full disk
        raise
