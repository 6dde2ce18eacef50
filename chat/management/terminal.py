"""What a terminal is shown."""

import sys

from rich.console import Console
from rich.status import Status


def printable(text: str) -> str:
    """Escape what a terminal would obey: escape sequences, newlines, direction marks."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Progress:
    """Says on stderr how far a command is: one line that changes on a terminal, else line by line.

    Line by line it is one step behind: the last one is for the command's result to say.

    What it is told holds numbers and words of ours alone: rich takes brackets for markup.
    """

    def __init__(self, stream: object) -> None:
        self._stream = stream
        self._status: Status | None = None
        self._unsaid = ""
        if sys.stderr.isatty():
            self._status = Console(stderr=True).status("")
            self._status.start()

    def say(self, text: str) -> None:
        """Show the text."""
        if self._status is not None:
            self._status.update(text)
        else:
            if self._unsaid:
                self._stream.write(f"{self._unsaid} so far")  # type: ignore[attr-defined]
            self._unsaid = text

    def end(self) -> None:
        """Leave the terminal as it was."""
        if self._status is not None:
            self._status.stop()
