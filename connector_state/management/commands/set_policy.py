"""`manage.py set_policy CONNECTOR …`: what a connector may do, and whether it may do anything."""

import json
from argparse import ArgumentParser, ArgumentTypeError, BooleanOptionalAction
from typing import Any

from django.core.management.base import BaseCommand

from connector_state.errors import InvalidRequest
from connector_state.keys import check_namespace
from connector_state.management.operator import find_connector

LIMITS = ("max_keys", "max_bytes", "max_requests_per_second")


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
        for name in LIMITS:
            option = f"--{name.replace('_', '-')}"
            parser.add_argument(option, type=_limit, metavar="N", default=_Unchanged)

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
        fields = ("enabled", "read_only", "allowed_namespaces", *LIMITS)
        connector.save(update_fields=fields)
        policy = {name: getattr(connector, name) for name in fields}
        policy["allowed_namespaces"] = connector.allowed_namespaces.split()
        self.stdout.write(json.dumps({name: policy[name] for name in fields}))


class _Unchanged:
    """The limit was not given; None is the settings' default."""


def _limit(text: str) -> int | None:
    if text == "default":
        return None
    if not text.isdecimal() or len(text) > 9:
        raise ArgumentTypeError("must be a number, 0 for no limit, or default")
    return int(text)


def _patterns(text: str) -> str:
    patterns = [pattern.strip() for pattern in text.split(",") if pattern.strip()]
    for pattern in patterns:
        try:
            check_namespace(pattern)
        except InvalidRequest as error:
            raise ArgumentTypeError(error.detail) from None
        if len(pattern.split()) > 1:
            raise ArgumentTypeError("A pattern may hold no space; use ? in its place.")
    return "\n".join(patterns)
