"""`manage.py set_policy CONNECTOR …`: what a connector may do, and whether it may do anything."""

import json
from argparse import ArgumentParser, ArgumentTypeError, BooleanOptionalAction
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand

from connector_state.errors import InvalidRequest
from connector_state.management.operator import find_connector
from connector_state.policy import FIELDS, LIMITS, clean_patterns


class Command(BaseCommand):
    """Change a connector's policy."""

    help = (
        "Change what is given, and print the whole. Effective on every worker within two seconds. "
        "A limit is a number, 0 for none, or default."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """CONNECTOR and one option a field."""
        parser.add_argument("connector", metavar="CONNECTOR", help="its UUID, or its name")
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
        if options["namespaces"] is not None:
            connector.allowed_namespaces = options["namespaces"]
        for name in ("read_only", "enabled"):
            if options[name] is not None:
                setattr(connector, name, options[name])
        for name in LIMITS:
            if options[name] is not _Unchanged:
                setattr(connector, name, options[name])
        connector.save(update_fields=FIELDS)
        policy = {name: getattr(connector, name) for name in FIELDS}
        policy["allowed_namespaces"] = connector.allowed_namespaces.split()
        self.stdout.write(json.dumps(policy))


class _Unchanged:
    """The limit was not given; None is the settings' default."""


def _limit(most: int) -> Callable[[str], int | None]:
    def limit(text: str) -> int | None:
        if text == "default":
            return None
        if not text.isdecimal() or len(text) > len(str(most)) or int(text) > most:
            raise ArgumentTypeError(f"must be a number up to {most}, 0 for no limit, or default")
        return int(text)

    return limit


def _patterns(text: str) -> str:
    try:
        return clean_patterns(text.split(","))
    except InvalidRequest as error:
        raise ArgumentTypeError(error.detail) from None
