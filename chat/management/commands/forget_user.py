"""`manage.py forget_user NAME [--undated-hours HOURS] [--dry-run]`."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import pluralize

from chat.errors import NotFound
from chat.retention.forget import UNDATED_HOURS, belongings, forget, in_words
from common.database.busy import DatabaseBusy
from common.events.changes import record_command
from common.events.models import Event
from common.progress import Progress
from common.visible import printable

HOURS_MAX = 8760


class Command(BaseCommand):
    help = (
        "Remove all data of a chat user who left: conversations (in the store too), turns, tasks, "
        "copies in quarantine, and answers to repeated requests. Turns in progress end, and tokens "
        "issued before now are refused, whoever issued them. Exits with 1 if nobody has this name, "
        "or if the store has not deleted everything yet; flush_pending_turns does the rest."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", metavar="NAME")
        parser.add_argument(
            "--undated-hours",
            type=int,
            default=UNDATED_HOURS,
            metavar="HOURS",
            help="how long tokens without the claim iat are refused, as they may be older "
            f"(default: {UNDATED_HOURS})",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would be removed, and change nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        user, hours = options["user"], options["undated_hours"]
        if not 0 <= hours <= HOURS_MAX:
            raise CommandError(f"--undated-hours must be from 0 to {HOURS_MAX}.")
        try:
            found = belongings(user)
            if options["dry_run"]:
                self.stdout.write(f"would be removed: {in_words(found)}")
                return
            with Progress(self.stderr, found.conversations, every=100) as progress:
                found, waiting = forget(
                    user, hours, lambda done: progress.update(done, f"{done} conversations")
                )
        except NotFound as error:
            raise CommandError(f"There is no chat user {printable(user)!r}.") from error
        except DatabaseBusy as error:
            raise CommandError(f"{error.detail} Run the command again to continue.") from error
        words = f"Removed all of the user {user}: {in_words(found)}."
        record_command(Event.Kind.CHANGE, Event.Area.CHAT, words, user_id=user)
        self.stdout.write(f"removed: {in_words(found)}")
        if get_user_model().objects.filter(username=user, is_active=True).exists():
            self.stderr.write(f"{printable(user)} can still log in: deactivate the account too.")
        if waiting:
            raise CommandError(
                f"{waiting} deletion{pluralize(waiting, ' waits,s wait')} for the conversation "
                "store; flush_pending_turns does the rest."
            )
