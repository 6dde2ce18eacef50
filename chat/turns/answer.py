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
from chat.conversations.state import ConversationKey, MessageEntry, new_conversation
from chat.deadline import Deadline
from chat.errors import ModelFailed, StoreConflict, StoreError, TurnConflict, Unavailable
from chat.locks import in_line, user_locked
from chat.models import Conversation, Task, Turn
from chat.tools.toolbox import Toolbox, lost
from chat.turns import deletion, document
from chat.turns.accept import Accepted, ChatRequest, accept
from chat.turns.confirmation import tasks_to_confirm, with_question
from chat.turns.document import Snapshot
from chat.turns.flush import flush
from chat.turns.numbering import renumber
from chat.turns.store import store_waiting
from chat.turns.waiting import INTERRUPTED, put_turns, turns_of, waiting_turns

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
            flush(ConversationKey(turn.user_id, turn.conversation_id), deadline)
        except StoreError as error:
            logger.warning("turn %s still waits: %s", turn.id, error.code)
        states = Turn.objects.filter(pk=turn.pk).values_list("state", flat=True)
        turn.state = states.first() or turn.state
    turn.degraded = turn.state != Turn.State.STORED
    return turn


class _Answering:
    """One turn under our lease."""

    def __init__(self, accepted: Accepted, deadline: Deadline) -> None:
        self.turn = turn = accepted.turn
        self.row = accepted.conversation
        self.is_numbered = accepted.is_numbered
        self.deadline = deadline
        self.key = ConversationKey(turn.user_id, turn.conversation_id)
        self.snapshot: Snapshot | None = None
        self.others_wait = accepted.others_wait
        self.store_failed = False

    def run(self) -> None:
        history = self._read()
        try:
            reply = configured_assistant().answer(
                history, self.turn.message, Toolbox(self.turn), self._assistants_deadline()
            )
        except ModelFailed as failure:
            self._finish(Turn.State.FAILED, failure=failure.code)
            failure.degraded = self._store()
            raise
        to_confirm = tasks_to_confirm(self.turn)
        self._finish(Turn.State.ANSWERED, with_question(reply, to_confirm), to_confirm)
        self._store()

    def _assistants_deadline(self) -> Deadline:
        return self.deadline.earlier(min(STORING_SECONDS_MAX, settings.CHAT_TURN_SECONDS / 5))

    # --- Step 2 -------------------------------------------------------------------------------

    def _read(self) -> list[MessageEntry]:
        """Read the document, after storing what waits; return the window."""
        row = self.row = self.row or document.index_row(self.key)
        waiting = waiting_turns(self.key) if self.others_wait else []
        self.others_wait = bool(waiting)
        try:
            self.snapshot = document.read(self.key, row, self.deadline)
            if self.is_numbered and self.snapshot.state is not None:
                self._renumber(self.snapshot)
            if waiting and self._flush():
                self.snapshot = document.read(self.key, row, self.deadline)
        except StoreError as error:
            self._note_failure(error)
        state = self.snapshot.state if self.snapshot else None
        state = state or new_conversation(self.key, self.turn.accepted_at)
        rows = waiting if self.snapshot else self._over()
        state = put_turns(state, rows, self.turn.accepted_at)
        state = remove_turn(state, self.turn.id, self.turn.accepted_at)
        return window(state, settings.CHAT_MESSAGE_WINDOW)

    def _renumber(self, taken: Snapshot) -> None:
        """Find a number that the store, too, has never seen."""
        for tries in range(RENUMBERINGS_MAX):
            row = renumber(self.turn, taken, tries)
            if row is None:
                raise TurnConflict()
            self.row, self.key = row, ConversationKey(row.user_id, row.conversation_id)
            self.snapshot = taken = document.read(self.key, row, self.deadline)
            if taken.state is None:
                return

    def _flush(self) -> bool:
        """Store the turns that wait; what others are storing already is left to them."""
        try:
            return flush(self.key, self.deadline)
        except StoreConflict:
            return False

    def _over(self) -> Sequence[Turn]:
        """What the rows hold of the conversation, while the store is away."""
        rows = turns_of(self.key).exclude(pk=self.turn.pk).exclude(state=Turn.State.ACCEPTED)
        return list(rows.order_by("-id")[: settings.CHAT_MESSAGE_WINDOW])[::-1]

    def _note_failure(self, error: StoreError) -> None:
        self.store_failed = True
        logger.warning("%s goes on without the store: %s", self.key, error.code)

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
            updated = Turn.objects.filter(pk=turn.pk, lease_token=turn.lease_token).update(
                state=state,
                reply=reply,
                failure=failure,
                answered_at=turn.answered_at,
                degraded=turn.degraded,
                lease_until=None,
            )
            if updated and to_confirm:
                Conversation.objects.filter(
                    user_id=turn.user_id, conversation_id=turn.conversation_id
                ).update(awaiting_confirmation=[task.number for task in to_confirm])
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
            with in_line():
                Turn.objects.filter(pk=self.turn.pk).update(degraded=True)
        return self.turn.degraded

    def _stored(self) -> bool:
        known = None if self.others_wait else [self.turn]
        try:
            state = store_waiting(self.key, self.deadline, self.snapshot, known, self.row)
        except StoreError as error:
            self._note_failure(error)
            return False
        if state is not None and has_turn(state, self.turn.id):
            return True
        if deletion.deleted_of(self.key, [self.turn]):
            raise TurnConflict()
        states = Turn.objects.filter(pk=self.turn.pk).values_list("state", flat=True)
        # Without a row, others have stored it so long ago that it was pruned.
        return (states.first() or Turn.State.STORED) == Turn.State.STORED

    def release(self) -> None:
        """Let go of the turn after an error of ours: it is stored without a reply."""
        try:
            with in_line():
                Turn.objects.filter(
                    pk=self.turn.pk, state=Turn.State.ACCEPTED, lease_token=self.turn.lease_token
                ).update(state=Turn.State.FAILED, failure=INTERRUPTED, lease_until=None)
        except (Unavailable, Error):
            logger.exception("turn %s keeps its lease until that ends", self.turn.id)
