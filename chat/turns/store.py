"""Steps 5 and 6: turns go into the document by compare-and-swap, then their rows say so.

A turn replaces itself under its id, so storing it twice does no harm. That matters, because neither
a 409 nor a lost answer says whether the write was applied: after either, the document is read anew.
"""

import logging
import random
import time
from collections.abc import Sequence

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Greatest
from django.utils import timezone

from chat.conversations.history import truncate
from chat.conversations.state import ConversationKey, ConversationState
from chat.deadline import Deadline
from chat.errors import StoreConflict, StoreRefused, StoreUnavailable
from chat.locks import in_line, user_locked
from chat.models import Conversation, Turn
from chat.turns import deletion, document
from chat.turns.document import Snapshot
from chat.turns.waiting import TO_STORE, holds_all, put_turns, waiting_turns

logger = logging.getLogger(__name__)

CONFLICTS_MAX = 30  # sixteen writers at once need some three tries each
OUTAGES_MAX = 2  # the second one in a row: the store is away
PAUSE_SECONDS = 0.025


def store_waiting(
    key: ConversationKey,
    deadline: Deadline,
    snapshot: Snapshot | None = None,
    waiting: Sequence[Turn] | None = None,
    row: Conversation | None = None,
) -> ConversationState | None:
    """Store the conversation's waiting turns, all in one save; return the document then.

    None when nothing was waiting, or the conversation was deleted meanwhile (what was written then
    is undone).

    Args:
        key: the conversation.
        deadline: for all of it.
        snapshot: what was read before; None: it is read here.
        waiting: the turns, if they are known; None: the rows say.
        row: the index row, if it is known.

    Raises:
        StoreUnavailable, StoreConflict: they go on waiting.
        StoreCorrupt: they wait until an operator has looked at the document.
    """
    return _Storing(key, deadline).run(snapshot, waiting, row)


class _Storing:
    """One attempt to empty a conversation's queue."""

    def __init__(self, key: ConversationKey, deadline: Deadline) -> None:
        self.key = key
        self.deadline = deadline
        self.conflicts = 0
        self.outages = 0
        self.one_by_one = False

    def run(
        self,
        snapshot: Snapshot | None,
        waiting: Sequence[Turn] | None,
        row: Conversation | None,
    ) -> ConversationState | None:
        stored: ConversationState | None = None
        while True:
            row = row or document.index_row(self.key)
            if row is None or not (waiting or waiting_turns(self.key)):
                return stored
            turns: Sequence[Turn] = waiting or ()
            try:
                snapshot = snapshot or document.read(self.key, row, self.deadline)
                # The rows after the document: what it has of a turn can't be newer then.
                turns = turns or waiting_turns(self.key)
                turns = turns[:1] if self.one_by_one else turns
                if not turns:
                    return stored
                stored = self._put(row, snapshot, turns)
            except (StoreConflict, StoreUnavailable) as error:
                self._pause_or_raise(error)
            except StoreRefused as refusal:
                self._set_aside(turns, refusal)
            else:
                if not mark_stored(self.key, turns, stored):
                    deletion.undo(self.key, turns, self.deadline)
                    return None
                if not self.one_by_one:
                    return stored
            snapshot = waiting = row = None

    def _put(
        self, row: Conversation, snapshot: Snapshot, turns: Sequence[Turn]
    ) -> ConversationState:
        """Save the document with these turns, unless it has them already."""
        state = document.base_of(snapshot, self.key, row)
        try:
            if snapshot.state is not None and holds_all(state, turns):
                return state
            state = put_turns(state, turns, turns[-1].answered_at or turns[-1].accepted_at)
        except ValueError as error:
            raise StoreRefused("The turn is no valid part of a conversation.") from error
        state = truncate(
            state, turns[-1].id, settings.CHAT_MAX_MESSAGES, settings.CHAT_MAX_STATE_BYTES
        )
        document.save(state, snapshot.etag, self.deadline)
        return state

    def _pause_or_raise(self, error: StoreConflict | StoreUnavailable) -> None:
        if isinstance(error, StoreUnavailable):
            self.outages += 1
        else:
            self.conflicts += 1
            self.outages = 0
        if self.outages >= OUTAGES_MAX or self.conflicts >= CONFLICTS_MAX or self.deadline.passed:
            raise error
        tries = min(self.conflicts + self.outages, 8)
        pause = random.uniform(0, PAUSE_SECONDS * tries)  # noqa: S311
        time.sleep(min(pause, self.deadline.remaining_seconds))

    def _set_aside(self, turns: Sequence[Turn], refusal: StoreRefused) -> None:
        """Take the turn that the store refuses for good out of the way of the others."""
        turns = turns or waiting_turns(self.key)[:1]  # it was the key that was refused
        if len(turns) != 1:
            self.one_by_one = True
            return
        logger.error("turn %s is set aside: %s", turns[0].id, refusal.detail)
        with in_line():
            Turn.objects.filter(pk=turns[0].pk, state__in=TO_STORE).update(
                state=Turn.State.DEAD_LETTER,
                refusal=refusal.detail[:255],
                degraded=True,
                lease_until=None,
            )


def mark_stored(key: ConversationKey, turns: Sequence[Turn], state: ConversationState) -> bool:
    """Step 6. Return False if the conversation was deleted meanwhile, this document of it anyhow.

    The index row says so. That a turn's row is gone does not: another worker may have stored the
    turn, and its row was pruned since.
    """
    with user_locked(key.user_id, may_be_lost=True):
        if not _describe(key, state):
            return False
        # Each lease has its own token. A row with another one was stored by somebody else, or has
        # been taken up again since it was read: what it holds now is not what the document holds.
        marked = Turn.objects.filter(
            pk__in=[turn.pk for turn in turns],
            lease_token__in=[turn.lease_token for turn in turns],
            state__in=TO_STORE,
        ).update(
            state=Turn.State.STORED, stored_at=timezone.now(), lease_until=None, lease_token=""
        )
        return marked == len(turns) or not deletion.deleted_of(key, turns)


def _describe(key: ConversationKey, state: ConversationState) -> bool:
    """Let the index row say what was stored; False if that is deleted."""
    rows = Conversation.objects.filter(
        Q(deleted_at=None) | Q(deleted_at__lt=state.created_at),
        user_id=key.user_id,
        conversation_id=key.conversation_id,
        active=True,
    )
    updated = rows.update(
        message_count=len(state.messages),
        created_at=state.created_at,
        updated_at=Greatest("updated_at", state.updated_at),
        expires_at=document.expiry_from_now(),
        deletion_pending=False,
    )
    return bool(updated)
