"""Storing what was left waiting: turns, and deletions. Any number of workers may do it at once."""

import logging
from collections.abc import Callable

from django import db
from django.conf import settings
from django.utils import timezone

from chat.conversations.state import ConversationKey
from chat.deadline import Deadline
from chat.errors import StoreError, Unavailable
from chat.models import Conversation, Turn
from chat.turns import deletion
from chat.turns.document import index_row
from chat.turns.lease import leased
from chat.turns.store import store_waiting
from chat.turns.waiting import to_be_stored, waiting_turns

logger = logging.getLogger(__name__)


def flush(key: ConversationKey, deadline: Deadline) -> bool:
    """Store the conversation's waiting turns and its deletion, under its lease.

    Return whether nothing of it waits any more; False too when another worker has the lease.

    Raises:
        StoreUnavailable, StoreConflict, StoreCorrupt: it goes on waiting.
    """
    with leased(key, deadline) as held:
        if not held:
            return False
        row = index_row(key)
        if row is not None and row.deletion_pending and not deletion.apply_deletion(key, deadline):
            return False
        if waiting_turns(key):
            store_waiting(key, deadline)
        return not waiting_turns(key)


def pending(user_id: str | None = None) -> list[ConversationKey]:
    """Return the conversations in which something waits, those that wait longest first."""
    now = timezone.now()
    turns = Turn.objects.filter(to_be_stored(now))
    deletions = Conversation.objects.filter(deletion_pending=True)
    if user_id is not None:
        turns, deletions = turns.filter(user_id=user_id), deletions.filter(user_id=user_id)
    pairs = [
        *turns.order_by("id").values_list("user_id", "conversation_id"),
        *deletions.order_by("deleted_at").values_list("user_id", "conversation_id"),
    ]
    return [ConversationKey(*pair) for pair in dict.fromkeys(pairs)]


def flush_all(
    user_id: str | None = None, on_each: Callable[[int, int], None] = lambda done, left: None
) -> tuple[int, int]:
    """Flush every conversation that waits; go on after a failure.

    Return how many conversations have nothing waiting any more, and how many still do.

    Args:
        on_each: called after each conversation, with both numbers so far.
    """
    done = left = 0
    for key in pending(user_id):
        try:
            flushed = flush(key, Deadline(settings.CHAT_TURN_SECONDS))
        except (StoreError, Unavailable) as error:
            logger.warning("%s goes on waiting: %s", key, error.code)
            flushed = False
        except db.Error as error:
            logger.error("%s goes on waiting: %r", key, error)
            flushed = False
        done, left = done + flushed, left + (not flushed)
        on_each(done, left)
    return done, left
