"""How far a long command is, said on standard error."""

import time
from typing import IO, Any, Self

from django.core.management.base import OutputWrapper
from rich import progress
from rich.console import Console
from rich.text import Text

SECONDS_BETWEEN_UPDATES = 0.1  # the bar is drawn as often as that


class Progress:
    """A bar on a terminal, or a spinner where the total is unknown; plain lines anywhere else.

    A context manager. A plain line is written when the next one is due, for the last of them would
    say the same as the command's result.
    """

    def __init__(
        self,
        stderr: OutputWrapper,
        total: int | None = None,
        *,
        every: int = 1,
        output: IO[Any] | None = None,
    ) -> None:
        """Prepare a bar for a command.

        Args:
            stderr: the command's.
            total: the number that `update` counts up to; None where it is unknown.
            every: how many updates make one plain line.
            output: where the command writes its result. No bar is drawn into that.
        """
        self._stderr = stderr
        self._every = every
        self._updates = 0
        self._waiting_line = ""
        self._drawn_at = float("-inf")
        is_shared = output is not None and output.isatty()
        self._has_bar = stderr.isatty() and not is_shared
        self._bar = _bar(is_counted=total is not None, disable=not self._has_bar)
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def update(self, done: int, text: str) -> None:
        """Say how far the command is: `done` of the total, and in words, such as "5 keys"."""
        if not self._has_bar:
            self._updates += 1
            if self._updates % self._every == 0:
                if self._waiting_line:
                    self._stderr.write(f"{self._waiting_line} so far")
                self._waiting_line = text
        elif time.monotonic() - self._drawn_at >= SECONDS_BETWEEN_UPDATES:
            self._drawn_at = time.monotonic()
            self._bar.update(self._task, completed=done, description=text)

    def write(self, stream: OutputWrapper, line: str) -> None:
        """Write a line of the command's output, above the bar where both are on a terminal."""
        if self._has_bar and stream.isatty():
            self._bar.console.print(Text(line), soft_wrap=True)  # it may look like markup
        else:
            stream.write(line)


def _bar(*, is_counted: bool, disable: bool) -> progress.Progress:
    text = progress.TextColumn("{task.description}", markup=False)  # names may hold brackets
    columns = (
        (progress.BarColumn(), progress.TaskProgressColumn(), text, progress.TimeRemainingColumn())
        if is_counted
        else (progress.SpinnerColumn(), text, progress.TimeElapsedColumn())
    )
    return progress.Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        disable=disable,
        # Standard output may be the command's result: rich would print it to the console.
        redirect_stdout=False,
        redirect_stderr=False,
    )
