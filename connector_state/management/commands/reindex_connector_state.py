"""`manage.py reindex_connector_state [CONNECTOR …]`."""

from argparse import ArgumentParser
from dataclasses import astuple
from typing import Any

from django.template.defaultfilters import pluralize

from common.events.changes import record_command
from common.events.models import Event
from common.progress import Progress
from common.visible import printable
from connector_state.management.base import StateCommand, find_connector, operator_name
from connector_state.models import Connector
from connector_state.store.index import Reindexed, reindex

PROGRESS_EVERY = 100  # batches


class Command(StateCommand):
    help = (
        "Update the index of connectors to what Redis holds, for example after a dsx-connect has "
        "written to it. Values are not changed. It is safe to run this again, and while "
        "connectors write."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "connectors", nargs="*", metavar="CONNECTOR", help="UUIDs or names (default: all)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        named = [find_connector(text) for text in options["connectors"]]
        connectors = named or list(Connector.objects.all())
        total = Reindexed()
        # Nobody knows how much SCAN has still to go through, so one connector has a spinner.
        steps = len(connectors) if len(connectors) > 1 else None
        with Progress(self.stderr, steps, every=PROGRESS_EVERY) as progress:
            for number, connector in enumerate(connectors):
                done = Reindexed()
                for done in reindex(str(connector.uuid), operator_name()):
                    progress.update(number, f"{printable(connector.name)}: {done.added} added")
                # Of all connectors, only those that have something new are told.
                if named or any(astuple(done)):
                    text = f"{printable(str(connector))}: {_describe(done)}"
                    progress.write(self.stdout, text)
                total.add(done)
        record_command(Event.Kind.CHANGE, Event.Area.STATE, f"Reindexed: {_describe(total)}.")
        if not named:
            count = len(connectors)
            self.stdout.write(f"{count} connector{pluralize(count)} in all: {_describe(total)}")


def _describe(done: Reindexed) -> str:
    text = f"added {done.added}, forgot {done.forgotten} without a value"
    if done.foreign:
        text += f", skipped {done.foreign} of another type than string"
    if done.nameless:
        text += f", skipped {done.nameless} that no address can name"
    return text
