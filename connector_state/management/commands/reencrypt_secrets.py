"""`manage.py reencrypt_secrets`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from common.events.changes import record_command
from common.events.models import Event
from common.progress import Progress
from common.visible import printable
from connector_state.credentials.issuing import reencrypt_secrets
from connector_state.models import Credential

PROGRESS_EVERY = 1_000  # credentials


class Command(BaseCommand):
    help = (
        "Encrypt every secret with the first of CONNECTOR_SECRET_KEYS. Put a new key in front of "
        "the old ones first; afterwards you can remove the old ones. A secret that can't be "
        "decrypted is left as it is, and the command exits with 1."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        done = unreadable = 0
        with Progress(self.stderr, Credential.objects.count(), every=PROGRESS_EVERY) as progress:
            for credential, worked in reencrypt_secrets():
                done, unreadable = done + worked, unreadable + (not worked)
                progress.update(done + unreadable, f"{done} secrets")
                if not worked:
                    connector = printable(str(credential.connector))
                    line = f"{credential.key_id} of {connector} can't be decrypted by any key"
                    progress.write(self.stderr, line)
        words = f"Encrypted {done} secrets under the first of CONNECTOR_SECRET_KEYS."
        record_command(Event.Kind.CREDENTIAL, Event.Area.STATE, words)
        self.stdout.write(f"Encrypted anew: {done}")
        if unreadable:
            raise CommandError(f"Not readable, and left as they are: {unreadable}")
