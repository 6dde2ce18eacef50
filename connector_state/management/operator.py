"""What the commands of operators share."""

import getpass
import json
import os
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from connector_state.credentials.issuing import IssuedCredential
from connector_state.models import Connector


def operator_name() -> str:
    """Return who runs the command, as the audit names them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def find_connector(text: str) -> Connector:
    """Return the connector of a UUID, or of a name that only one has.

    Raises:
        CommandError: there is none, or more than one.
    """
    try:
        found = list(Connector.objects.filter(uuid=UUID(text)))
    except ValueError:
        found = list(Connector.objects.filter(name=text)[:2])
    if len(found) != 1:
        raise CommandError(
            f"There is no connector {text!r}; `manage.py list_connectors` lists them."
            if not found
            else f"More than one connector is named {text!r}; give its UUID."
        )
    return found[0]


def warn_of_namesakes(command: BaseCommand, connector: Connector) -> None:
    """Say that a name is no longer enough to tell this connector from others, if it is not."""
    if Connector.objects.filter(name=connector.name).exclude(pk=connector.pk).exists():
        command.stderr.write(
            f"Another connector is named {connector.name!r} too: "
            "commands need the UUID of either now."
        )


def read_file(name: str) -> bytes:
    """Return what is in a file, or in standard input (-).

    Raises:
        CommandError: it can't be read.
    """
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise cant_open(name, error) from error


def cant_open(name: str, error: OSError) -> CommandError:
    """Return what to say of a file that can't be opened or read."""
    return CommandError(f"{printable(name)}: {str(error.strerror or error).rstrip('.')}.")


def write_issued(command: BaseCommand, issued: IssuedCredential, *, as_json: bool) -> None:
    """Print a new credential, the one time that its secret is shown."""
    if as_json:
        command.stdout.write(json.dumps(issued.as_json()))
        return
    command.stdout.write(f"connector UUID  {issued.connector.uuid}")
    command.stdout.write(f"key id          {issued.key_id}")
    command.stdout.write(f"secret          {issued.secret}")
    command.stderr.write("Keep the secret now: it is not shown again.")


def printable(text: str) -> str:
    """Escape what a terminal would obey: escape sequences, newlines, direction marks."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def duration_seconds(text: str) -> int:
    """Read "90", "90s", "15m", "24h" or "7d", for argparse."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    if not number.isdecimal() or len(number) > 9:
        raise ArgumentTypeError("must be seconds, or a number with s, m, h or d, such as 24h")
    return int(number) * unit
