"""`manage.py record_daily_figures`."""

from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import pluralize
from redis.exceptions import RedisError

from connector_state.credentials.counters.refusals import record_as_events
from overview.figures import DAYS_KEPT, record

DAYS_MAX = 36_500
NOUNS = ("connector", "key", "byte", "conversation", "message", "turn")


class Command(BaseCommand):
    help = (
        "Record today's figures (UTC) for the charts on admin's start page. Run it every hour: the "
        "last run of a day counts. Also adds refused calls to the events in admin. Exits with 1 if "
        "Redis does not answer; the other figures are recorded all the same."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--keep-days",
            type=int,
            default=DAYS_KEPT,
            metavar="DAYS",
            help=f"delete figures older than this (default: {DAYS_KEPT})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["keep_days"]
        if not 1 <= days <= DAYS_MAX:
            raise CommandError(f"--keep-days must be from 1 to {DAYS_MAX}.")
        figures, knows_usage = record(days)
        with suppress(RedisError):  # which record has told of
            record_as_events()
        numbers = ((noun, getattr(figures, f"{noun}s")) for noun in NOUNS)
        counted = (f"{number} {noun}{pluralize(number or 0)}" for noun, number in numbers)
        self.stdout.write(f"{figures.date}: {', '.join(counted)}")
        if not knows_usage:
            raise CommandError("Redis does not answer: keys and bytes were not counted.")
