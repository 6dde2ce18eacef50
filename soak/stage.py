"""The layout with Django set up in this process on its stores, and the end of a run."""

import os

import django

from soak.layout import Layout
from soak.leftovers import database_findings, process_findings
from soak.settled import flush, mend

LOG_TAIL_CHARACTERS = 3000


class Stage:
    """A layout, until `stop`. One a process: Django is set up once."""

    def __init__(self) -> None:
        self.layout = Layout()
        os.environ.update(self.layout.environ)
        django.setup()

    def settle(self, load, journal) -> None:
        """Wait for the end of the faults, of the load, and of what they left to be done."""
        mend(self.layout, journal)
        load.stop()
        flush(self.layout, journal)

    def sabotage(self, name: str, journal) -> None:
        """Put a fault in on purpose."""
        from soak.sabotage import SABOTAGES

        SABOTAGES[name][0](self.layout, journal)

    def check(self, journal) -> list[str]:
        """Return all that must not be."""
        from soak.checks import Checks

        return [*Checks(self.layout, journal).all(), *database_findings()]

    def log_tail(self) -> str:
        """Return the last lines of the servers' logs."""
        texts = [log.read_text(errors="replace") for log in self.layout.logs if log.exists()]
        return "\n".join(text[-LOG_TAIL_CHARACTERS:] for text in texts)

    def stop(self) -> list[str]:
        """Stop all; return which processes are left."""
        from django.db import connections

        connections.close_all()
        self.layout.stop()
        findings = list(process_findings(self.layout.mark))
        self.layout.remove()
        return findings
