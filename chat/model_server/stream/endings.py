"""The end of a streamed answer, of which servers tell in several ways.

Some name a `finish_reason` in each event, some beside the last words, some never; and after it some
neither say `[DONE]` nor close the connection.
"""

END_SECONDS = 2.0
DOUBT_SECONDS = 10.0  # as models take to write a call after some words


class Ending:
    """What the events of a stream tell of its end.

    Attributes:
        is_told: an event gave a reason for it.
    """

    def __init__(self) -> None:
        self.is_told = False
        self._has_begun = False
        self._was_wrong = False  # something was said after it was told
        self._doubts = 2  # about the last event being the end: as many as there are

    def note(self, *, says: bool, ends: bool) -> None:
        """Note that an event says something, gives a reason for the end, or both."""
        self._has_begun = self._has_begun or says
        self._was_wrong = self._was_wrong or (says and self.is_told)
        self.is_told = self.is_told or ends
        if ends and self._has_begun:
            self._doubts = says + self._was_wrong
        elif says:
            self._doubts = 2

    @property
    def is_certain(self) -> bool:
        """Nothing of the answer follows."""
        return self._doubts == 0

    @property
    def patience_seconds(self) -> float | None:
        """How long to wait for what follows; None: this was not the end."""
        return (END_SECONDS, DOUBT_SECONDS, None)[self._doubts]
