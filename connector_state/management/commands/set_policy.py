"""`manage.py set_policy CONNECTOR …`: its name, limits and permissions."""

import json
from argparse import ArgumentParser, ArgumentTypeError, BooleanOptionalAction
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand

from connector_state.errors import InvalidRequest
from connector_state.management.base import add_connector, find_connector, warn_of_namesakes
from connector_state.names import clean_name
from connector_state.store.policy import FIELDS, LIMITS, clean_patterns


class Command(BaseCommand):
    help = (
        "Change a connector's policy or name, and print both. Effective on every worker within two "
        "seconds. A limit is a number, 0 for none, or default."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_connector(parser)
        parser.add_argument("--name", type=_checked(clean_name), metavar="NEW", help="rename it")
        parser.add_argument(
            "--namespaces",
            type=_checked(lambda text: clean_patterns(text.split(","))),
            metavar="PATTERNS",
            help='patterns separated by commas, such as m365,onedrive-*; "" for any',
        )
        parser.add_argument("--read-only", action=BooleanOptionalAction)
        parser.add_argument("--enabled", action=BooleanOptionalAction, help="or --no-enabled")
        for name, most in LIMITS.items():
            option = f"--{name.replace('_', '-')}"
            parser.add_argument(option, type=_limit(most), metavar="N", default=_Unchanged)

    def handle(self, *args: Any, **options: Any) -> None:
        connector = find_connector(options["connector"])
        changes = _changes(options)
        for name, value in changes.items():
            setattr(connector, name, value)
        connector.save(update_fields=list(changes))  # others may be changing the rest
        policy = {name: getattr(connector, name) for name in ("name", *FIELDS)}
        policy["allowed_namespaces"] = connector.allowed_namespaces.split()
        self.stdout.write(json.dumps(policy))
        if "name" not in changes:
            return
        warn_of_namesakes(self, connector)
        if connector.enrolment_group is not None:
            self.stderr.write(
                "It enrols, and names itself anew with its next heartbeat: rename it there too."
            )


class _Unchanged:
    """The value of a limit that was not given: None would mean the settings' default."""


def _changes(options: dict[str, Any]) -> dict[str, Any]:
    """Return the values that were given, by field."""
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


def _checked(clean: Callable[[str], str]) -> Callable[[str], str]:
    """Return a type for argparse from a function that raises InvalidRequest."""

    def checked(text: str) -> str:
        try:
            return clean(text)
        except InvalidRequest as error:
            raise ArgumentTypeError(error.detail) from None

    return checked
