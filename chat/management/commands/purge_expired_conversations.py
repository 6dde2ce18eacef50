"""`manage.py purge_expired_conversations [--older-than DAYS] [--user USER] [--dry-run]`."""

from argparse import ArgumentParser
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import pluralize
from django.utils import timezone

from chat.conversations.state import format_timestamp
from chat.retention.purge import due, purge
from chat.retention.sweep import PurgeOptions, Report
from common.events.changes import record_command
from common.events.models import Event, prune
from common.progress import Progress
from common.visible import printable

DAYS_MAX = 36_500


class Command(BaseCommand):
    help = (
        "Remove conversations that have expired: from the conversation store, the index, the turns "
        "and the quarantine. Continues after a failure, but then exits with 1. Any number of these "
        "may run at once, and while users chat."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--older-than",
            type=int,
            metavar="DAYS",
            help="also remove stored conversations not used for this many days",
        )
        parser.add_argument(
            "--user",
            metavar="USER",
            help="only those of this user (forget_user removes all data of a user, even tasks)",
        )
        parser.add_argument("--batch-size", type=int, default=500, metavar="N")
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would be removed, and change nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        wanted, dry_run = _purge_options(options), options["dry_run"]
        with Progress(self.stderr, due(wanted).count()) as progress:

            def name(*thing: Any) -> None:
                progress.write(self.stdout, _line(*thing))

            report = purge(
                replace(wanted, name=name),
                lambda so_far: progress.update(so_far.looked_at, _conversations(so_far, dry_run)),
            )
        self.stdout.write(
            f"{_conversations(report, dry_run)} "
            f"({report.states} state{pluralize(report.states)}, "
            f"{report.rows} index row{pluralize(report.rows)}, "
            f"{report.turns} turn{pluralize(report.turns)}, "
            f"{report.copies} quarantined cop{pluralize(report.copies, 'y,ies')})"
        )
        if not dry_run:
            prune()
            if report.purged or report.failed:
                words = f"{_conversations(report, dry_run)}."
                record_command(Event.Kind.PURGE, Event.Area.CHAT, words)
        if report.failed:
            failed = f"{report.failed} conversation{pluralize(report.failed)}"
            raise CommandError(f"{failed} failed; the log says why.")


def _purge_options(options: dict[str, Any]) -> PurgeOptions:
    days, batch_size = options["older_than"], options["batch_size"]
    if days is not None and not 0 <= days <= DAYS_MAX:
        raise CommandError(f"--older-than must be from 0 to {DAYS_MAX}.")
    if not 1 <= batch_size <= 100_000:
        raise CommandError("--batch-size must be from 1 to 100000.")
    return PurgeOptions(
        older_than=None if days is None else timezone.now() - timedelta(days=days),
        user_id=options["user"],
        batch_size=batch_size,
        dry_run=options["dry_run"],
    )


def _line(
    kind: str, user_id: str, conversation_id: str, at: datetime, expires_at: datetime | None
) -> str:
    """Return the line of a dry run for one thing; tabs separate its parts."""
    expiry = format_timestamp(expires_at) if expires_at else "-"
    parts = (kind, printable(user_id), conversation_id, f"last used {format_timestamp(at)}")
    return "\t".join((*parts, f"expires {expiry}"))


def _conversations(report: Report, dry_run: bool) -> str:
    verb = "would be purged" if dry_run else "purged"
    purged = f"{report.purged} conversation{pluralize(report.purged)} {verb}"
    return f"{purged}, {report.kept} kept, {report.failed} failed"
