"""`manage.py flush_pending_turns [--user USER]`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import pluralize

from chat.conversations.state import ConversationKey
from chat.repository import TITLE
from chat.turns.flush import flush_all, pending
from chat.turns.pruning import prune
from common.events import outages
from common.progress import Progress

PROGRESS_EVERY = 100  # conversations


class Command(BaseCommand):
    help = (
        "Store the turns and deletions that wait for the conversation store. "
        "Any number of these may run at once. Exits with 1 if something still waits. That does not "
        "count conversations that can't be read, which an operator has to repair: check_stores "
        "and the start page of admin report those."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", metavar="USER", help="only those of this user")

    def handle(self, *args: Any, **options: Any) -> None:
        user = options["user"]
        corrupt: list[ConversationKey] = []
        with Progress(self.stderr, len(pending(user)), every=PROGRESS_EVERY) as progress:
            done, left = flush_all(
                user,
                lambda done, left: progress.update(done + left, _conversations(done, left)),
                corrupt.append,
            )
        if done:  # processes that met the outage may be gone
            outages.over(TITLE)
        dropped = prune()
        number = len(corrupt)
        held = f"{number} wait{pluralize(number, 's,')} for an operator; " if number else ""
        self.stdout.write(
            f"{_conversations(done, left)}; {held}{dropped} old turn{pluralize(dropped)} dropped"
        )
        if left:
            waiting = f"conversation{pluralize(left)} still {pluralize(left, 'waits,wait')}"
            raise CommandError(f"{left} {waiting}; the log says why.")


def _conversations(done: int, left: int) -> str:
    return f"{done} conversation{pluralize(done)} stored, {left} still waiting"
