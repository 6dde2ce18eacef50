"""`manage.py revoke_credential KEY_ID`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from common.visible import printable
from connector_state.credentials import marks
from connector_state.credentials.issuing import revoke_credential
from connector_state.management.base import record_credential
from connector_state.models import Credential


class Command(BaseCommand):
    help = "Revoke a credential at once. It can't be undone."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("key_id", metavar="KEY_ID")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            credential = revoke_credential(options["key_id"])
        except Credential.DoesNotExist:
            raise CommandError(f"There is no credential {options['key_id']!r}.") from None
        record_credential(credential.connector, f"Revoked credential {credential.key_id}.")
        marks.mark_revoked(credential.connector_id, [credential.key_id], self.stderr.write)
        left = credential.connector.credentials.live().count()
        self.stdout.write(
            f"Revoked {credential.key_id} of {printable(str(credential.connector))}; "
            f"live credentials left: {left}"
        )
