"""`manage.py reindex_connector_state [CONNECTOR …]`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from redis.exceptions import RedisError

from connector_state.errors import Unavailable
from connector_state.index import Reindexed, reindex
from connector_state.management.operator import find_connector, operator_name
from connector_state.models import Connector


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
        """Reindex one after the other, with progress."""
        connectors = [find_connector(text) for text in options["connectors"]]
        for connector in connectors or Connector.objects.iterator():
            total = Reindexed()
            try:
                for total in reindex(str(connector.uuid), operator_name()):
                    if options["verbosity"] > 1:
                        self.stdout.write(f"  {total.added} added so far")
            except (RedisError, Unavailable) as error:
                raise CommandError(f"Redis did not answer ({error}); run it again.") from error
            self.stdout.write(
                f"{connector}: added {total.added}, forgot {total.forgotten} without a value, "
                f"skipped {total.skipped} that no address can name"
            )
