"""`manage.py set_policy CONNECTOR …`: its name, limits and permissions."""

import json
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, BooleanOptionalAction
from collections.abc import Callable
from typing import Any

from common.events.changes import record_command
from common.events.models import Event
from connector_state.credentials import marks
from connector_state.errors import InvalidRequest
from connector_state.management.base import ConnectorCommand, warn_of_namesakes
from connector_state.models import Connector
from connector_state.names import clean_name
from connector_state.store.policy import FIELDS, LIMITS, clean_patterns


class Command(ConnectorCommand):
    help = (
        "Change a connector's policy or name, and print both. Every worker applies the change "
        "within two seconds; disabling takes effect at once. A limit is a number, 0 for no limit, "
        "or `default`."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.argument_default = SUPPRESS  # only what is given is changed
        parser.add_argument("--name", type=_checked(clean_name), metavar="NEW", help="rename it")
        parser.add_argument(
            "--namespaces",
            dest="allowed_namespaces",
            type=_checked(lambda text: clean_patterns(text.split(","))),
            metavar="PATTERNS",
            help='patterns separated by commas, such as m365,onedrive-*; "" for any',
        )
        parser.add_argument("--read-only", action=BooleanOptionalAction)
        parser.add_argument("--enabled", action=BooleanOptionalAction, help="or --no-enabled")
        for name, most in LIMITS.items():
            option = f"--{name.replace('_', '-')}"
            parser.add_argument(option, type=_limit(most), metavar="N")

    def handle_connector(self, connector: Connector, options: dict[str, Any]) -> None:
        fields = ("name", *FIELDS)
        changes = {name: options[name] for name in fields if name in options}
        for name, value in changes.items():
            setattr(connector, name, value)
        if changes:
            connector.save(update_fields=list(changes))  # others may be changing the rest
            words = f"Set {', '.join(changes)} of {connector}."
            record_command(Event.Kind.CHANGE, Event.Area.STATE, words, **connector.event_subject)
        if "enabled" in changes:
            marks.mark_enabled(connector.pk, self.stderr.write)
        policy = {name: getattr(connector, name) for name in fields}
        policy["allowed_namespaces"] = connector.allowed_namespaces.split()
        self.stdout.write(json.dumps(policy))
        if "name" not in changes:
            return
        warn_of_namesakes(self, connector)
        if connector.enrolment_group is not None:
            self.stderr.write(
                "It enrols, and renames itself with its next heartbeat: rename it there too."
            )


def _limit(most: int) -> Callable[[str], int | None]:
    def limit(text: str) -> int | None:
        if text == "default":
            return None
        if not text.isdecimal() or len(text) > len(str(most)) or int(text) > most:
            raise ArgumentTypeError(f"must be a number up to {most}, 0 for no limit, or default")
        return int(text)

    return limit


def _checked(clean: Callable[[str], str]) -> Callable[[str], str]:
    """Return a type for argparse from a function that raises InvalidRequest."""

    def checked(text: str) -> str:
        try:
            return clean(text)
        except InvalidRequest as error:
            raise ArgumentTypeError(error.detail) from None

    return checked
