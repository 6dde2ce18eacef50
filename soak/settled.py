"""Bring the layout to rest after the faults: what is left then is left for good."""

from soak.journal import Journal
from soak.layout import Layout
from soak.parts import wait_while

UP_SECONDS = 60


def mend(layout: Layout, journal: Journal) -> None:
    """Wait until all parts run, and the primary has its replica."""
    if not wait_while(lambda: not layout.is_whole(), UP_SECONDS):
        down = [part.name for part in layout.parts if not part.is_up]
        journal.found(f"not whole a minute after the last fault; down: {', '.join(down) or 'none'}")


def flush(layout: Layout, journal: Journal) -> None:
    """Store the turns that wait, with the command that production runs every minute."""
    told = None

    def waits() -> bool:
        nonlocal told
        told = layout.manage("flush_pending_turns", check=False)
        return told.returncode != 0

    if not wait_while(waits, UP_SECONDS):
        journal.found(f"turns go on waiting: {told and told.stderr[-300:]}")
