"""`manage.py reencrypt_secrets`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from connector_state.credentials.issuing import reencrypt_secrets
from connector_state.management.operator import printable


class Command(BaseCommand):
    """Encrypt every secret anew."""

    help = (
        "Encrypt every secret under the first of CONNECTOR_SECRET_KEYS, which had to be put in "
        "front of the old ones before. Afterwards the old ones can be taken away."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Re-encrypt, go on after one that can't be read, and end non-zero then."""
        done, unreadable = 0, 0
        for credential, worked in reencrypt_secrets():
            if worked:
                done += 1
                continue
            unreadable += 1
            self.stderr.write(
                f"{credential.key_id} of {printable(str(credential.connector))} "
                "can't be decrypted by any key"
            )
        self.stdout.write(f"Encrypted anew: {done}")
        if unreadable:
            raise CommandError(f"Not readable, and left as they are: {unreadable}")
