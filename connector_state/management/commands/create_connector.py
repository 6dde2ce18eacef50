"""`manage.py create_connector NAME [--uuid UUID] [--group GROUP] [--json]`."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError

from connector_state.credentials import enrolment
from connector_state.credentials.issuing import create_connector
from connector_state.errors import InvalidRequest
from connector_state.management.base import record_credential, warn_of_namesakes, write_issued
from connector_state.names import clean_name


class Command(BaseCommand):
    help = "Create a connector, and print its UUID, key id and secret. The secret is shown once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="a name that people recognize")
        parser.add_argument("--uuid", type=UUID, help="the connector's UUID, if it has one already")
        parser.add_argument(
            "--group",
            help='a group of ENROLLMENT_TOKENS ("" for tokens without a group): with a token of '
            "this group the connector can register, gets no new secret, and keeps this credential",
        )
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object, for `sign --credentials`"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        group = options["group"]
        if group is not None and group not in enrolment.groups():
            raise CommandError(f"ENROLLMENT_TOKENS has no token of the group {group!r}.")
        try:
            issued = create_connector(
                clean_name(options["name"]), options["uuid"], heartbeat_group=group
            )
        except InvalidRequest as error:
            raise CommandError(f"NAME: {error.detail}") from None
        except IntegrityError:
            raise CommandError(
                f"There is a connector {options['uuid']} already; "
                "`manage.py rotate_credential` gives it another credential."
            ) from None
        words = f"Created {issued.connector} with credential {issued.key_id}."
        record_credential(issued.connector, words)
        write_issued(self, issued, as_json=options["json"])
        warn_of_namesakes(self, issued.connector)
