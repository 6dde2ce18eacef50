"""A turn from its acceptance to its answer: the six steps in their order.

After one store call that failed, the store is not asked again in this turn: the answer is degraded,
and the row waits (chat.turns.flush).
"""

import logging
from collections.abc import Sequence

from django.conf import settings
from django.db import Error
from django.utils import timezone

from chat.assistant import configured_assistant
from chat.conversations.history import has_turn, remove_turn, window
from chat.conversations.state import MessageEntry
from chat.deadline import Deadline
from chat.errors import ModelFailed, StoreConflict, StoreError, TurnConflict
from chat.locks import user_locked
from chat.models import Conversation, Task, Turn
from chat.models.turns import INTERRUPTED, put_turns
from chat.tools.toolbox import Toolbox, lost
from chat.turns import deletion
from chat.turns.accept import Accepted, ChatRequest, accept, renumber
from chat.turns.confirmation import tasks_to_confirm, with_question
from chat.turns.flush import flush
from chat.turns.open_conversation import OpenConversation
from chat.turns.store import store_waiting

logger = logging.getLogger(__name__)

RENUMBERINGS_MAX = 8
STORING_SECONDS_MAX = 5.0  # of the turn's time, kept for storing it


def answer(request: ChatRequest) -> Turn:
    """Answer a message; return the turn with its reply.

    Raises:
        ModelFailed, ModelTimeout: no reply; the message is kept.
        TurnConflict: see accept; or the conversation was deleted meanwhile.
        RateLimited: too many of this user's messages are being answered.
    """
    deadline = Deadline(settings.CHAT_TURN_SECONDS)
    accepted = accept(request)
    if accepted.is_answered:
        return _kept_answer(accepted.turn, deadline)
    answering = _Answering(accepted, deadline)
    try:
        answering.run()
    except (ModelFailed, TurnConflict):
        raise
    except Exception:
        answering.release()
        raise
    return accepted.turn


def _kept_answer(turn: Turn, deadline: Deadline) -> Turn:
    """Return the answer of an earlier request, and store it if it still waits.

    It is degraded if it is not in the store now, whatever the first answer was.
    """
    if turn.state == Turn.State.ANSWERED:
        try:
            flush(turn.key, deadline)
        except StoreError as error:
            logger.warning("turn %s still waits: %s", turn.id, error.code)
        turn.state = turn.current_state() or turn.state
    turn.degraded = turn.state != Turn.State.STORED
    return turn


class _Answering:
    """One turn under our lease."""

    def __init__(self, accepted: Accepted, deadline: Deadline) -> None:
        self.turn = accepted.turn
        self.conversation = OpenConversation(self.turn.key, deadline, accepted.conversation)
        self.is_numbered = accepted.is_numbered
        self.others_wait = accepted.others_wait
        self.store_failed = False

    def run(self) -> None:
        history = self._read()
        # The reply is to be stored within the turn's time, too.
        deadline = self.conversation.deadline.earlier(
            min(STORING_SECONDS_MAX, settings.CHAT_TURN_SECONDS / 5)
        )
        try:
            reply = configured_assistant().answer(
                history, self.turn.message, Toolbox(self.turn), deadline
            )
        except ModelFailed as failure:
            self._finish(Turn.State.FAILED, failure=failure.code)
            failure.degraded = self._store()
            raise
        to_confirm = tasks_to_confirm(self.turn)
        self._finish(Turn.State.ANSWERED, with_question(reply, to_confirm), to_confirm)
        self._store()

    # --- Step 2 -------------------------------------------------------------------------------

    def _read(self) -> list[MessageEntry]:
        """Read the document, after storing what waits; return the window."""
        rows = Turn.objects.of(self.turn.key)
        waiting: Sequence[Turn] = rows.to_store() if self.others_wait else ()
        self.others_wait = bool(waiting)
        try:
            self.conversation.read()
            if self.is_numbered and self.conversation.state is not None:
                self._renumber()
            if waiting and self._flush():
                self.conversation.read()
        except StoreError as error:
            self._note_failure(error)
        if self.conversation.snapshot is None:
            waiting = self._recent_rows()
        accepted_at = self.turn.accepted_at
        state = put_turns(self.conversation.state_or_new(accepted_at), waiting, accepted_at)
        # A turn that is taken up again may be stored already; its message is asked separately.
        state = remove_turn(state, self.turn.id, accepted_at)
        return window(state, settings.CHAT_MESSAGE_WINDOW)

    def _renumber(self) -> None:
        """Find a number that the store, too, has never seen."""
        for tries in range(RENUMBERINGS_MAX):
            taken = self.conversation.snapshot
            row = renumber(self.turn, taken, tries) if taken else None
            if row is None:
                raise TurnConflict()
            self.conversation = OpenConversation(row.key, self.conversation.deadline, row)
            if self.conversation.read().state is None:
                return

    def _flush(self) -> bool:
        """Store the turns that wait; what others are storing already is left to them."""
        try:
            return flush(self.conversation.key, self.conversation.deadline)
        except StoreConflict:
            return False

    def _recent_rows(self) -> Sequence[Turn]:
        """Return the turns of the window that the database has, while the store is away."""
        rows = Turn.objects.of(self.turn.key).exclude(state=Turn.State.ACCEPTED)
        newest = rows.exclude(pk=self.turn.pk).order_by("-id")
        return list(newest[: settings.CHAT_MESSAGE_WINDOW])[::-1]

    def _note_failure(self, error: StoreError) -> None:
        self.store_failed = True
        logger.warning("%s goes on without the store: %s", self.conversation.key, error.code)

    # --- Step 4 -------------------------------------------------------------------------------

    def _finish(
        self,
        state: Turn.State,
        reply: str | None = None,
        to_confirm: Sequence[Task] = (),
        failure: str = "",
    ) -> None:
        """Keep the outcome in the row, and which tasks the reply asks about.

        Raises:
            TurnConflict: the row is gone, or somebody else's.
        """
        turn = self.turn
        turn.state, turn.reply, turn.failure = state, reply, failure
        turn.answered_at = max(timezone.now(), turn.accepted_at)
        turn.degraded = self.store_failed
        with user_locked(turn.user_id):
            updated = Turn.objects.under_lease_of(turn).update(
                state=state,
                reply=reply,
                failure=failure,
                answered_at=turn.answered_at,
                degraded=turn.degraded,
                lease_until=None,
            )
            if updated and to_confirm:
                numbers = [task.number for task in to_confirm]
                Conversation.objects.of(turn.key).update(awaiting_confirmation=numbers)
        if not updated:
            raise lost(turn)

    # --- Steps 5 and 6 ------------------------------------------------------------------------

    def _store(self) -> bool:
        """Store the turn, and what waits before it; return whether the answer is degraded.

        Raises:
            TurnConflict: the conversation was deleted meanwhile.
        """
        if not self.store_failed and not self._stored():
            self.turn.degraded = True
            Turn.objects.filter(pk=self.turn.pk).update(degraded=True)
        return self.turn.degraded

    def _stored(self) -> bool:
        try:
            state = store_waiting(self.conversation, () if self.others_wait else [self.turn])
        except StoreError as error:
            self._note_failure(error)
            return False
        if state is not None and has_turn(state, self.turn.id):
            return True
        if deletion.deleted_of([self.turn]):
            raise TurnConflict()
        # Without a row, others have stored it so long ago that it was pruned.
        return self.turn.current_state() in {None, Turn.State.STORED}

    def release(self) -> None:
        """Let go of the turn after an error of ours: it is stored without a reply."""
        try:
            Turn.objects.under_lease_of(self.turn).filter(state=Turn.State.ACCEPTED).update(
                state=Turn.State.FAILED, failure=INTERRUPTED, lease_until=None
            )
        except Error:
            logger.exception("turn %s keeps its lease until that ends", self.turn.id)
