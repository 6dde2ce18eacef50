"""`manage.py purge_expired_conversations [--older-than DAYS] [--user USER] [--dry-run]`."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from chat.purge import purge

DAYS_MAX = 36_500


class Command(BaseCommand):
    """Purge conversations."""

    help = (
        "Remove conversations that have expired from the conversation store and the index. "
        "Goes on after a failure, and ends with 1 then."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """--older-than, --user, --batch-size and --dry-run."""
        parser.add_argument(
            "--older-than",
            type=int,
            metavar="DAYS",
            help="also those that were not used for so many days",
        )
        parser.add_argument("--user", metavar="USER", help="of this user alone")
        parser.add_argument("--batch-size", type=int, default=500, metavar="N")
        parser.add_argument("--dry-run", action="store_true", help="count them only")

    def handle(self, *args: Any, **options: Any) -> None:
        """Purge and report."""
        days, batch_size = options["older_than"], options["batch_size"]
        if days is not None and not 0 <= days <= DAYS_MAX:
            raise CommandError(f"--older-than must be from 0 to {DAYS_MAX}.")
        if not 1 <= batch_size <= 100_000:
            raise CommandError("--batch-size must be from 1 to 100000.")
        older_than = None if days is None else timezone.now() - timedelta(days=days)
        report = purge(older_than, options["user"], batch_size, options["dry_run"])
        verb = "would be purged" if options["dry_run"] else "purged"
        self.stdout.write(
            f"{report.purged} conversations {verb}, {report.kept} kept, {report.failed} failed"
        )
        if report.failed:
            raise CommandError(f"{report.failed} conversations failed; the log says why.")
