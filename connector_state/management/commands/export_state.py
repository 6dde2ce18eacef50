"""`manage.py export_state CONNECTOR`: its values, as a file to import again."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import pluralize
from redis.exceptions import RedisError

from connector_state.errors import ConnectorStateError
from connector_state.management.operator import find_connector, operator_name, printable
from connector_state.store.operator_session import OperatorSession
from connector_state.transfer.exporting import export

PROGRESS_EVERY = 10_000


class Command(BaseCommand):
    """Export values."""

    help = (
        "Write a connector's keys, with their values and expiries, as JSON Lines (docs/export.md). "
        "It is in the connector's audit."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """CONNECTOR, --namespace, --file."""
        parser.add_argument("connector", metavar="CONNECTOR", help="its UUID, or its name")
        parser.add_argument("--namespace", help="this one alone (default: all)")
        parser.add_argument(
            "--file", default="-", help="a new file, for your eyes only; - for standard output"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the lines, with progress."""
        connector = find_connector(options["connector"])
        lines = export(OperatorSession.of(connector, operator_name()), options["namespace"])
        try:
            with _opened(options["file"]) as file:
                count = self.write(lines, file)
        except ConnectorStateError as error:
            raise CommandError(f"{error.detail} The export is not whole.") from error
        except RedisError as error:
            raise CommandError(f"Redis did not answer: {error}. Nothing is exported.") from error
        self.stderr.write(
            f"Exported {count} key{pluralize(count)}."
            if count
            else f"Nothing was exported: {_where(options['namespace'])} has no keys, as far as the "
            "index knows (`reindex_connector_state` takes in what a dsx-connect stored)."
        )

    def write(self, lines: Iterator[bytes], file: BinaryIO) -> int:
        """Write all lines; return the number of keys."""
        number = 0
        for number, line in enumerate(lines):
            file.write(line)
            if number and number % PROGRESS_EVERY == 0:
                self.stderr.write(f"  {number} so far")
        return number - 1  # the header is line 0, and the end is no key


def _where(namespace: str | None) -> str:
    return "the connector" if namespace is None else f"namespace {namespace!r}"


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    """Open a new file that only its owner can read. One that is not whole is removed."""
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
    except BaseException:
        path.unlink()
        raise
