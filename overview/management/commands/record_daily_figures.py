"""`manage.py record_daily_figures`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import pluralize

from overview.figures import DAYS_KEPT, record

DAYS_MAX = 36_500


class Command(BaseCommand):
    """Record today's figures."""

    help = (
        "Record how much there is today (UTC), for the charts on admin's start page. Run it every "
        "hour: the last run of a day counts. Ends with 1 when Redis did not say how many keys "
        "there are; the rest is recorded then."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """--keep-days."""
        parser.add_argument(
            "--keep-days",
            type=int,
            default=DAYS_KEPT,
            metavar="DAYS",
            help=f"drop the figures of earlier days ({DAYS_KEPT})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Record, and say what."""
        days = options["keep_days"]
        if not 1 <= days <= DAYS_MAX:
            raise CommandError(f"--keep-days must be from 1 to {DAYS_MAX}.")
        figures, knows_usage = record(days)
        self.stdout.write(
            f"{figures.date}: "
            + ", ".join(
                f"{number} {noun}{pluralize(number or 0)}"
                for number, noun in (
                    (figures.connectors, "connector"),
                    (figures.keys, "key"),
                    (figures.bytes, "byte"),
                    (figures.conversations, "conversation"),
                    (figures.messages, "message"),
                    (figures.turns, "turn"),
                )
            )
        )
        if not knows_usage:
            raise CommandError("Redis does not answer: keys and bytes were not counted.")
