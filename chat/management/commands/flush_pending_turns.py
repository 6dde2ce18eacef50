"""`manage.py flush_pending_turns [--user USER]`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import pluralize

from chat.turns.flush import flush_all
from chat.turns.pruning import prune


class Command(BaseCommand):
    """Store what waits."""

    help = (
        "Store the turns, and carry out the deletions, that wait for the conversation store. "
        "Any number of these may run at once. Ends with 1 while something still waits."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """--user."""
        parser.add_argument("--user", metavar="USER", help="of this user alone")

    def handle(self, *args: Any, **options: Any) -> None:
        """Flush, and drop what is too old to be repeated."""
        done, left = flush_all(options["user"])
        dropped = prune()
        self.stdout.write(
            f"{done} conversation{pluralize(done)} stored, {left} still waiting; "
            f"{dropped} old turn{pluralize(dropped)} dropped"
        )
        if left:
            waiting = f"conversation{pluralize(left)} still {pluralize(left, 'waits,wait')}"
            raise CommandError(f"{left} {waiting}; the log says why.")
