"""`manage.py reindex_connector_state [CONNECTOR …]`."""

from argparse import ArgumentParser
from dataclasses import astuple
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import pluralize
from redis.exceptions import RedisError

from connector_state.errors import Unavailable
from connector_state.management.operator import find_connector, operator_name, printable
from connector_state.models import Connector
from connector_state.store.index import Reindexed, reindex


class Command(BaseCommand):
    """Take values that came from elsewhere into the index."""

    help = (
        "Bring the index of connectors to what stands in Redis, such as a Redis that a dsx-connect "
        "filled. Values are not touched. Safe beside writes, and to run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """CONNECTOR …"""
        parser.add_argument(
            "connectors", nargs="*", metavar="CONNECTOR", help="UUIDs or names (default: all)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Reindex one after the other; print those that were named, or those with something new."""
        named = [find_connector(text) for text in options["connectors"]]
        total, count = Reindexed(), 0
        for connector in named or Connector.objects.iterator():
            done = self.reindex(connector, options["verbosity"])
            if named or any(astuple(done)):
                self.stdout.write(f"{printable(str(connector))}: {_describe(done)}")
            total.add(done)
            count += 1
        if not named:
            self.stdout.write(f"{count} connector{pluralize(count)} in all: {_describe(total)}")

    def reindex(self, connector: Connector, verbosity: int) -> Reindexed:
        """Reindex one, with progress."""
        total = Reindexed()
        try:
            for total in reindex(str(connector.uuid), operator_name()):
                if verbosity > 1:
                    self.stdout.write(f"  {total.added} added so far")
        except (RedisError, Unavailable) as error:
            raise CommandError(f"Redis did not answer ({error}); run it again.") from error
        return total


def _describe(done: Reindexed) -> str:
    text = f"added {done.added}, forgot {done.forgotten} without a value"
    if done.foreign:
        text += f", skipped {done.foreign} of another type than string"
    if done.nameless:
        text += f", skipped {done.nameless} that no address can name"
    return text
