"""`manage.py check_stores [--strict] [--notify] [--json]`."""

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from overview.health import probes
from overview.health.alerts import notify
from overview.health.outages import note_outages
from overview.health.probes import Health

AFTER_MIGRATIONS = (probes.SECRETS, probes.REPAIRS)


class Command(BaseCommand):
    help = (
        "Check whether everything that Statekeep needs answers, and report what is wrong with it. "
        "Exits with 1 if something does not answer, can't be used, or is unsafe: a Redis that "
        "evicts keys, or keeps nothing on disk. After a warning, such as a Redis with snapshots "
        "but no append-only file, it exits with 0, or with 1 if --strict is given."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--strict", action="store_true", help="exit with 1 on a warning too")
        parser.add_argument(
            "--notify",
            action="store_true",
            help="post what changed since the last run to ALERT_WEBHOOK_URL",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["notify"] and not settings.ALERT_WEBHOOK_URL:
            raise CommandError("--notify needs ALERT_WEBHOOK_URL.")
        found = _examine()
        bad_states = {"unsafe", "failed", "warning" if options["strict"] else ""}
        bad = [health.title for health in found if health.state in bad_states]
        if options["notify"] and not notify(found):
            bad.append("the webhook of alerts, which did not take one")
        self.stdout.write(_as_json(found, bad) if options["json"] else _as_lines(found))
        if bad:
            raise CommandError(f"Look at: {', '.join(bad)}.")


def _examine() -> list[Health]:
    stores = probes.examine((*probes.STORES, *probes.beside()))
    if not next(health for health in stores if health.name == "database").answers:
        note_outages(stores)  # Redis remembers it
        return stores
    migrations = probes.examine((probes.MIGRATIONS,))
    if not migrations[0].answers:  # tables may be missing, for outages too
        return stores + migrations
    note_outages(stores)
    return stores + migrations + probes.examine(AFTER_MIGRATIONS)


def _as_json(found: list[Health], bad: list[str]) -> str:
    checks = {
        health.name: {
            "state": health.state,
            "description": health.description,
            "problems": health.problems,
            "milliseconds": round(health.milliseconds, 1),
        }
        for health in found
    }
    return json.dumps({"ok": not bad, "checks": checks})


def _as_lines(found: list[Health]) -> str:
    return "\n".join(
        f"{_loud(health.state):<8} {health.title:<19} {health.description}"
        + (f" ({health.milliseconds:.1f} ms)" if health.answers else "")
        + "".join(f" | {problem}" for problem in health.problems)
        for health in found
    )


def _loud(state: str) -> str:
    return state if state == "ok" else state.upper()
