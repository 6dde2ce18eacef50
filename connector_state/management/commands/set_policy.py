"""`manage.py set_policy CONNECTOR …`: what a connector is named and may do, if anything."""

import json
from argparse import ArgumentParser, ArgumentTypeError, BooleanOptionalAction
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand

from connector_state.credentials import marks
from connector_state.errors import InvalidRequest
from connector_state.management.operator import find_connector, warn_of_namesakes
from connector_state.models import Connector
from connector_state.names import clean_name
from connector_state.store.policy import FIELDS, LIMITS, clean_patterns


class Command(BaseCommand):
    """Change a connector's policy, or its name."""

    help = (
        "Change what is given, and print the whole. Effective on every worker within two seconds; "
        "a connector that is disabled is refused at once. "
        "A limit is a number, 0 for none, or default."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """CONNECTOR, --name, and one option a field."""
        parser.add_argument("connector", metavar="CONNECTOR", help="its UUID, or its name")
        parser.add_argument("--name", type=_name, metavar="NEW", help="rename it")
        parser.add_argument(
            "--namespaces",
            type=_patterns,
            metavar="PATTERNS",
            help='patterns separated by commas, such as m365,onedrive-*; "" for any',
        )
        parser.add_argument("--read-only", action=BooleanOptionalAction)
        parser.add_argument("--enabled", action=BooleanOptionalAction, help="or --no-enabled")
        for name, most in LIMITS.items():
            option = f"--{name.replace('_', '-')}"
            parser.add_argument(option, type=_limit(most), metavar="N", default=_Unchanged)

    def handle(self, *args: Any, **options: Any) -> None:
        """Change and print."""
        connector = find_connector(options["connector"])
        changes = _changes(options)
        for name, value in changes.items():
            setattr(connector, name, value)
        connector.save(update_fields=list(changes))  # others may be changing the rest
        if "enabled" in changes:
            marks.mark_enabled(connector.pk, self.stderr.write)
        policy = {name: getattr(connector, name) for name in ("name", *FIELDS)}
        policy["allowed_namespaces"] = connector.allowed_namespaces.split()
        self.stdout.write(json.dumps(policy))
        if "name" in changes:
            self.warn_of_name(connector)

    def warn_of_name(self, connector: Connector) -> None:
        """Say what the new name will not do."""
        warn_of_namesakes(self, connector)
        if connector.enrolment_group is not None:
            self.stderr.write(
                "It enrols, and names itself anew with its next heartbeat: rename it there too."
            )


class _Unchanged:
    """The limit was not given; None is the settings' default."""


def _changes(options: dict[str, Any]) -> dict[str, Any]:
    """What was given, by field."""
    given = {
        "name": options["name"],
        "allowed_namespaces": options["namespaces"],
        "read_only": options["read_only"],
        "enabled": options["enabled"],
    }
    changes = {name: value for name, value in given.items() if value is not None}
    limits = {name: options[name] for name in LIMITS if options[name] is not _Unchanged}
    return changes | limits


def _limit(most: int) -> Callable[[str], int | None]:
    def limit(text: str) -> int | None:
        if text == "default":
            return None
        if not text.isdecimal() or len(text) > len(str(most)) or int(text) > most:
            raise ArgumentTypeError(f"must be a number up to {most}, 0 for no limit, or default")
        return int(text)

    return limit


def _name(text: str) -> str:
    try:
        return clean_name(text)
    except InvalidRequest as error:
        raise ArgumentTypeError(error.detail) from None


def _patterns(text: str) -> str:
    try:
        return clean_patterns(text.split(","))
    except InvalidRequest as error:
        raise ArgumentTypeError(error.detail) from None
