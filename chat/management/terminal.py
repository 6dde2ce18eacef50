"""What a terminal is shown."""

import sys

from rich.console import Console
from rich.status import Status


def printable(text: str) -> str:
    """Escape what a terminal would obey: escape sequences, newlines, direction marks."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Progress:
    """Says on stderr how far a command is: one line that changes on a terminal, else line by line.

    What it is told holds numbers and words of ours alone: rich takes brackets for markup.
    """

    def __init__(self, stream: object) -> None:
        self._stream = stream
        self._status: Status | None = None
        if sys.stderr.isatty():
            self._status = Console(stderr=True).status("")
            self._status.start()

    def say(self, text: str) -> None:
        """Show the text."""
        if self._status is not None:
            self._status.update(text)
        else:
            self._stream.write(text)  # type: ignore[attr-defined]

    def end(self) -> None:
        """Leave the terminal as it was."""
        if self._status is not None:
            self._status.stop()
