"""Steps 5 and 6: turns go into the document by compare-and-swap, then their rows say so.

A turn replaces itself under its id, so storing it twice does no harm. That matters, because neither
a 409 nor a lost answer says whether the write was applied: after either, the document is read
again.
"""

import logging
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from chat.conversations.history import has_turn, truncate
from chat.conversations.state import ConversationState, encoded_size
from chat.errors import (
    SaveFailed,
    StoreConflict,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    TurnConflict,
)
from chat.locks import user_locked
from chat.models import Conversation, Turn
from chat.models.turns import TO_STORE, put_turns
from chat.turns import deletion
from chat.turns.accept import Accepted
from chat.turns.finish import mark_stored
from chat.turns.open_conversation import OpenConversation
from chat.turns.traces import note_dead_letter, note_degraded
from common.database.busy import DatabaseBusy

logger = logging.getLogger(__name__)

CONFLICTS_MAX = 30  # sixteen writers at once need some three tries each
OUTAGES_MAX = 2  # the second one in a row: the store is away
PAUSE_SECONDS = 0.025
# A conversation is too large for the store if it failed for so long, while so many others' turns
# were stored: a store that takes no writes for a while takes nobody's.
NEVER_FITS_SECONDS = 60
NEVER_FITS_OTHERS = 3


def store_turn(accepted: Accepted) -> None:
    """Store the turn, and what waits before it; it is degraded if that fails.

    Raises:
        TurnConflict: the conversation was deleted meanwhile.
    """
    turn = accepted.turn
    if not _is_stored(turn, accepted.conversation, () if accepted.others_wait else (turn,)):
        turn.degraded = True
        # The row says that it waits, in any case.
        with suppress(DatabaseBusy), user_locked(turn.user_id):
            Turn.objects.filter(pk=turn.pk).update(degraded=True)
            note_degraded(turn)


def _is_stored(turn: Turn, conversation: OpenConversation, waiting: Sequence[Turn]) -> bool:
    try:
        state = store_waiting(conversation, waiting)
    except (StoreError, DatabaseBusy) as error:
        # Of a busy database too: the reply is kept, and is stored later.
        logger.warning("%s goes on without the store: %s", conversation.key, error.code)
        turn.degraded_by = error.code
        return False
    if state is not None and has_turn(state, turn.id):
        return True
    if deletion.deleted_of([turn]):
        raise TurnConflict()
    # Without a row, others have stored it so long ago that it was pruned.
    return turn.current_state() in {None, Turn.State.STORED}


def store_waiting(
    conversation: OpenConversation, waiting: Sequence[Turn] = ()
) -> ConversationState | None:
    """Store the conversation's waiting turns, all in one save; return the document then.

    None when nothing was waiting, or the conversation was deleted meanwhile (what was written then
    is undone).

    Args:
        conversation: what was read of it is used first.
        waiting: the turns, if they are known; else the rows say.

    Raises:
        StoreUnavailable, StoreConflict: they go on waiting.
        StoreCorrupt: they wait until an operator has looked at the document.
    """
    return _Storing(conversation).run(waiting)


class _Storing:
    """One attempt to empty a conversation's queue."""

    def __init__(self, conversation: OpenConversation) -> None:
        self.conversation = conversation
        self.conflicts = 0
        self.outages = 0
        self.one_by_one = False
        self.max_bytes = settings.CHAT_MAX_STATE_BYTES
        self.tried: ConversationState | None = None  # the document of the last save

    def run(self, known: Sequence[Turn]) -> ConversationState | None:
        stored: ConversationState | None = None
        while True:
            if self.conversation.row is None or not (known or self._to_store()):
                return stored
            turns = known
            try:
                if self.conversation.snapshot is None:
                    self.conversation.read()
                # The rows after the document: what it has of a turn can't be newer then.
                turns = turns or self._to_store()
                turns = turns[:1] if self.one_by_one else turns
                if not turns:
                    return stored
                stored = self._put(turns, self.conversation.row)
            except SaveFailed as error:
                if self.outages < OUTAGES_MAX - 1 or not self._never_fits(turns):
                    self._pause_or_raise(error)
                else:
                    self._make_smaller(turns)
            except (StoreConflict, StoreUnavailable) as error:
                self._pause_or_raise(error)
            except StoreRefused as refusal:
                self._set_aside(turns, refusal)
            else:
                if not mark_stored(turns, stored):
                    deletion.undo(self.conversation, turns)
                    return None
                if not self.one_by_one:
                    return stored
            known = ()
            self.conversation.forget()

    def _to_store(self) -> list[Turn]:
        return Turn.objects.of(self.conversation.key).to_store()

    def _put(self, turns: Sequence[Turn], row: Conversation) -> ConversationState:
        """Save the document with these turns, unless it has them already."""
        state = self.conversation.state
        try:
            if state is not None and all(turn.is_in(state) for turn in turns):
                return state
            state = self.conversation.state_or_new(row.created_at)
            state = put_turns(state, turns, turns[-1].answered_at or turns[-1].accepted_at)
        except ValueError as error:
            raise StoreRefused("The turn is no valid part of a conversation.") from error
        state = truncate(state, turns[-1].id, settings.CHAT_MAX_MESSAGES, self.max_bytes)
        self.tried = state
        self.conversation.save(state)
        return state

    def _pause_or_raise(self, error: StoreConflict | StoreUnavailable) -> None:
        if isinstance(error, StoreUnavailable):
            self.outages += 1
        else:
            self.conflicts += 1
            self.outages = 0
        deadline = self.conversation.deadline
        if self.outages >= OUTAGES_MAX or self.conflicts >= CONFLICTS_MAX or deadline.passed:
            raise error
        tries = min(self.conflicts + self.outages, 8)
        # By chance, so that writers that met once don't meet again.
        pause = random.uniform(0, PAUSE_SECONDS * tries)  # noqa: S311
        time.sleep(min(pause, deadline.remaining_seconds))

    def _never_fits(self, turns: Sequence[Turn]) -> bool:
        """Whether the store takes others' turns, but for some time not these.

        Stores have limits for one item (DynamoDB 400 kB, Cosmos DB 2 MB), which a sidecar reports
        as any other failure.
        """
        if not turns:
            return False
        since = turns[0].answered_at or turns[0].accepted_at
        others = Turn.objects.filter(state=Turn.State.STORED, accepted_at__gt=since).exclude(
            user_id=turns[0].user_id, conversation_id=turns[0].conversation_id
        )
        is_old = timezone.now() - since >= timedelta(seconds=NEVER_FITS_SECONDS)
        return is_old and others.order_by()[:NEVER_FITS_OTHERS].count() == NEVER_FITS_OTHERS

    def _make_smaller(self, turns: Sequence[Turn]) -> None:
        """Let the next try be half as large; set the turn aside if it is alone in the document."""
        # Until a smaller document is saved, the store keeps the one that it has.
        self.outages = 0
        size = encoded_size(self.tried) if self.tried else 0
        if len(turns) > 1 or size > self.max_bytes or not size:
            self.max_bytes = settings.CHAT_MAX_STATE_BYTES
            refusal = f"The store takes other conversations, but not this turn ({size} bytes)."
            self._set_aside(turns, StoreRefused(refusal))
            return
        self.max_bytes = size // 2
        logger.error(
            "%s never gets into the store with %d bytes: its oldest turns are dropped, to %d bytes "
            "(lower CHAT_MAX_STATE_BYTES)",
            *(self.conversation.key, size, self.max_bytes),
        )

    def _set_aside(self, turns: Sequence[Turn], refusal: StoreRefused) -> None:
        """Take the turn that the store refuses for good out of the way of the others."""
        turns = turns or self._to_store()[:1]  # it was the key that was refused
        if len(turns) != 1:
            self.one_by_one = True
            return
        logger.error("turn %s is set aside: %s", turns[0].id, refusal.detail)
        Turn.objects.filter(pk=turns[0].pk, state__in=TO_STORE).update(
            state=Turn.State.DEAD_LETTER,
            refusal=refusal.detail[:255],
            degraded=True,
            lease_until=None,
        )
        note_dead_letter(turns[0])
