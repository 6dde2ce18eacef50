"""Deadlines by the monotonic clock, which nobody sets."""

import time


class Deadline:
    """A point in time, some seconds from now; `at` is its reading of time.monotonic()."""

    def __init__(self, seconds: float) -> None:
        self.at = time.monotonic() + seconds

    @property
    def remaining_seconds(self) -> float:
        """The seconds left, 0 once it has passed."""
        return max(0.0, self.at - time.monotonic())

    @property
    def passed(self) -> bool:
        return self.remaining_seconds <= 0

    def earlier(self, seconds: float) -> "Deadline":
        """Return the deadline that many seconds before this one."""
        return Deadline(self.remaining_seconds - seconds)
