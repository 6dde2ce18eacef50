"""A run's stage: the layout, and Django set up in this process on its stores."""

import os

import django
from django.db import connections

from config.env import Environment
from soak.journal import Journal
from soak.layout.parts import wait_while
from soak.layout.production import Layout
from soak.leftovers import database_findings, process_findings
from soak.size import Size

UP_SECONDS = 180
LOG_TAIL_CHARACTERS = 3000


class Stage:
    """A layout, until `stop`. One a process: Django is set up once."""

    def __init__(self, users: int = 0, on_cluster: bool = False) -> None:
        for name in Environment.model_fields:  # the developer's own must not take part
            os.environ.pop(name.upper(), None)
        self.layout = Layout(users, on_cluster)
        os.environ.update(self.layout.environ)
        django.setup()
        # They import models, which Django has to be set up for.
        from soak.checks import Checks
        from soak.load.mixed import Load

        self._checks, self._load = Checks, Load

    def load(self, journal: Journal, size: Size, seed: str):
        return self._load(self.layout, journal, size, seed)

    def settle(self, load, journal: Journal) -> None:
        """Wait for the end of the faults, of the load, and of what they left to be done."""
        if not wait_while(self.layout.missing, UP_SECONDS):
            journal.found(f"still down after the last fault: {self.layout.missing()}")
        load.stop()
        # As the timer of deploy/schedule does every minute.
        if not wait_while(self._turns_wait, UP_SECONDS):
            journal.found("turns go on waiting for the store")

    def _turns_wait(self) -> bool:
        return self.layout.manage("flush_pending_turns", check=False).returncode != 0

    def check(self, journal: Journal) -> list[str]:
        """Return all that must not be."""
        connections.close_all()  # the faults may have ended this thread's
        journal.add_gaps(self.layout.redis.deposed())
        return [*self._checks(self.layout, journal).all(), *database_findings()]

    def log_tail(self) -> str:
        """Return the last lines of the servers' logs."""
        texts = [log.read_text(errors="replace") for log in self.layout.logs if log.exists()]
        return "\n".join(text[-LOG_TAIL_CHARACTERS:] for text in texts)

    def stop(self) -> list[str]:
        """Stop all; return which processes are left."""
        connections.close_all()
        self.layout.stop()
        findings = list(process_findings(self.layout.mark))
        self.layout.remove()
        return findings
