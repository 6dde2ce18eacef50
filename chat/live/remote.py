"""A turn that another process answers, followed by its row and by the words that are published."""

import asyncio
import time

from django.conf import settings
from django.db import Error
from django.utils import timezone

from chat.errors import ModelFailed, ModelTimeout, TurnConflict, Unavailable
from chat.live import published
from chat.live.words import Said
from chat.models import Turn
from common.deferred import Run

POLL_SECONDS = 0.25
STORING_SECONDS_MAX = 10.0


class RemoteWords:
    """Has what followers read of Words."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.said = Said(-1)
        self.version = 0
        self.is_over = False
        self.failure: BaseException | None = None
        self._storing_ends_at: float | None = None
        self._look()

    def wait(self, version: int, seconds: float) -> None:
        """Look again after a moment. Without the database there is nothing to follow."""
        time.sleep(min(POLL_SECONDS, seconds))
        self._look_again()

    async def wait_on_loop(self, version: int, seconds: float, run: Run) -> None:
        """Wait as `wait` does; a thread is held only while it looks."""
        await asyncio.sleep(min(POLL_SECONDS, seconds))
        await run(self._look_again)

    def _look_again(self) -> None:
        try:
            self._look()
        except Error as error:  # its answer has begun: only an event can tell its client
            self._end(error)

    def _look(self) -> None:
        row = Turn.objects.filter(pk=self.turn.pk).first()
        if row is None:
            self._end(TurnConflict())
            return
        self.turn = row
        if row.state == Turn.State.ACCEPTED:
            if row.seconds_under_way(timezone.now()):
                self._hear()
            else:
                self._end(interrupted())
        elif row.reply is None:
            self._end(failure_of(row))
        elif row.state != Turn.State.ANSWERED or row.degraded or self._has_waited():
            row.degraded = row.state != Turn.State.STORED
            self._end(None)

    def _hear(self) -> None:
        heard = published.read(self.turn.lease_token)
        if heard is None:
            return
        if heard.calls != self.said.calls:
            self.said = Said(heard.calls)
        if more := heard.text[len(self.said.text) :]:
            self.said.pieces.append(more)

    def _has_waited(self) -> bool:
        """Whether an answered turn has had time enough to be stored."""
        now = time.monotonic()
        if self._storing_ends_at is None:
            self._storing_ends_at = now + min(STORING_SECONDS_MAX, settings.CHAT_TURN_SECONDS)
        return now >= self._storing_ends_at

    def _end(self, failure: Exception | None) -> None:
        self.failure, self.is_over = failure, True


def interrupted() -> Unavailable:
    """Return the error for a turn whose process died, or that failed by an error of ours."""
    detail = "The answer was interrupted. Your message is kept; send it again."
    return Unavailable(detail, code="interrupted")


def failure_of(turn: Turn) -> Exception:
    """Return the error for a turn that its row says has failed."""
    for kind in (ModelTimeout, ModelFailed):
        if turn.failure == kind.code:
            error = kind()
            error.degraded = turn.degraded
            return error
    return interrupted()
