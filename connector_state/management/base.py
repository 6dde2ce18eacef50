"""What the commands of connector state share."""

import json
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from redis.exceptions import RedisError

from common.events import changes
from common.events.models import Event
from common.visible import printable
from connector_state.credentials.issuing import IssuedCredential
from connector_state.errors import ConnectorStateError
from connector_state.models import Connector

operator_name = changes.operator_name

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class StateCommand(BaseCommand):
    """A command that ends with a line, not a traceback, when it is refused or Redis is down."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except ConnectorStateError as error:
            raise CommandError(printable(error.detail)) from error
        except RedisError as error:
            raise CommandError(f"Redis did not answer: {printable(str(error))}") from error


class ConnectorCommand(StateCommand):
    """A command about one connector, its argument CONNECTOR.

    A subclass implements `handle_connector`.
    """

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("connector", metavar="CONNECTOR", help="its UUID, or its name")

    def handle(self, *args: Any, **options: Any) -> None:
        self.handle_connector(find_connector(options["connector"]), options)

    def handle_connector(self, connector: Connector, options: dict[str, Any]) -> None:
        raise NotImplementedError


def find_connector(text: str) -> Connector:
    """Return the connector with this UUID, or with this name if only one has it.

    Raises:
        CommandError: there is none, or more than one.
    """
    try:
        found = list(Connector.objects.filter(uuid=UUID(text)))
    except ValueError:
        found = []
    # One that enrols may have named itself like a UUID.
    found = found or list(Connector.objects.filter(name=text)[:2])
    if not found:
        raise CommandError(
            f"There is no connector {text!r}; `manage.py list_connectors` lists them."
        )
    if len(found) > 1:
        raise CommandError(f"More than one connector is named {text!r}; give its UUID.")
    return found[0]


def record_credential(connector: Connector, message: str) -> None:
    """Record as an event what the command did to a connector's credentials."""
    changes.record_command(
        Event.Kind.CREDENTIAL, Event.Area.STATE, message, **connector.event_subject
    )


def warn_of_namesakes(command: BaseCommand, connector: Connector) -> None:
    """Warn if another connector has the same name, as commands then need the UUID."""
    if Connector.objects.filter(name=connector.name).exclude(pk=connector.pk).exists():
        command.stderr.write(
            f"Another connector is named {connector.name!r} too: "
            "commands need the UUID of either now."
        )


def write_issued(command: BaseCommand, issued: IssuedCredential, *, as_json: bool) -> None:
    """Print a new credential with its secret, which is never shown again.

    Raises:
        OSError: it can't be printed; standard error says how to get another one.
    """
    try:
        _write_issued(command, issued, as_json=as_json)
        command.stdout.flush()  # so that a full disk is noticed here
    except OSError:
        command.stderr.write(
            f"The secret of {issued.key_id} could not be written, and is not shown again. Get "
            f"another one: manage.py rotate_credential {issued.connector.uuid} --overlap 0"
        )
        raise


def _write_issued(command: BaseCommand, issued: IssuedCredential, *, as_json: bool) -> None:
    if as_json:
        command.stdout.write(json.dumps(issued.as_json()))
        return
    command.stdout.write(f"connector UUID  {issued.connector.uuid}")
    command.stdout.write(f"key id          {issued.key_id}")
    command.stdout.write(f"secret          {issued.secret}")
    command.stderr.write("Keep the secret now: it is not shown again.")


def duration_seconds(text: str) -> int:
    """Return the seconds of "90", "90s", "15m", "24h" or "7d": a type for argparse."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNIT_SECONDS else (text, "s")
    if not number.isdecimal() or len(number) > 9:
        raise ArgumentTypeError("must be seconds, or a number with s, m, h or d, such as 24h")
    return int(number) * UNIT_SECONDS[unit]
