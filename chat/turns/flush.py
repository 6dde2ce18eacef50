"""Storing what was left waiting: turns, and deletions. Any number of workers may do it at once."""

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django import db
from django.conf import settings
from django.utils import timezone

from chat.conversations.state import ConversationKey
from chat.deadline import Deadline
from chat.errors import StoreCorrupt, StoreError
from chat.locks import user_locked
from chat.models import Conversation, Turn
from chat.models.turns import CLOCKS_DIFFER
from chat.turns import deletion
from chat.turns.open_conversation import OpenConversation
from chat.turns.store import store_waiting
from common.database.busy import WAIT_SECONDS

logger = logging.getLogger(__name__)

# After the deadline nothing is asked any more; what came of it is still noted, twice at most.
MARGIN_SECONDS = 2 * WAIT_SECONDS
LEASE_SECONDS_MAX = 300 + MARGIN_SECONDS  # as CHAT_TURN_SECONDS at most


@contextmanager
def leased(key: ConversationKey, deadline: Deadline) -> Iterator[bool]:
    """Hold the conversation's lease: one worker at a time flushes it or purges it.

    Yields False when somebody else has it, or there is no index row. It outlives the deadline of
    what is done under it.
    """
    token = _take_lease(key, deadline)
    try:
        yield token is not None
    finally:
        if token is not None:
            rows = Conversation.objects.of(key).filter(lease_token=token)
            rows.update(lease_until=None, lease_token="")


def _take_lease(key: ConversationKey, deadline: Deadline) -> str | None:
    token = secrets.token_hex(16)
    with user_locked(key.user_id):
        now = timezone.now()
        row = Conversation.at(key)
        if row is None:
            return None
        if row.lease_until is not None and row.lease_until > now:
            _shorten(row, now)
            return None
        row.lease_token = token
        row.lease_until = now + timedelta(seconds=deadline.remaining_seconds + MARGIN_SECONDS)
        row.save(update_fields=["lease_token", "lease_until"])
    return token


def _shorten(row: Conversation, now: datetime) -> None:
    """End a lease in time that was taken before the clock stepped back."""
    latest = now + timedelta(seconds=LEASE_SECONDS_MAX)
    if row.lease_until is not None and row.lease_until > latest + CLOCKS_DIFFER:
        row.lease_until = latest
        row.save(update_fields=["lease_until"])


def flush(conversation: OpenConversation) -> bool:
    """Store the conversation's waiting turns and its deletion, under its lease.

    Take one of which nothing was read yet. Return whether nothing of it waits any more; False too
    when another worker has the lease.

    Raises:
        StoreUnavailable, StoreConflict, StoreCorrupt: it goes on waiting.
    """
    key, deadline = conversation.key, conversation.deadline
    with leased(key, deadline) as held:
        if not held:
            return False
        row = Conversation.at(key)
        if row is not None and row.deletion_pending and not deletion.apply_deletion(key, deadline):
            return False
        store_waiting(conversation)
        return not Turn.objects.of(key).to_store()


def flush_answered(turn: Turn, conversation: OpenConversation) -> None:
    """Store a turn that an earlier request answered, if it still waits.

    It is degraded if it is not in the store now, whatever the first answer was.
    """
    if turn.state == Turn.State.ANSWERED:
        try:
            flush(conversation)
        except StoreError as error:
            logger.warning("turn %s still waits: %s", turn.id, error.code)
        turn.state = turn.current_state() or turn.state
    turn.degraded = turn.state != Turn.State.STORED


def pending(user_id: str | None = None) -> list[ConversationKey]:
    """Return the conversations in which something waits, those that wait longest first."""
    turns = Turn.objects.waiting()
    deletions = Conversation.objects.filter(deletion_pending=True)
    if user_id is not None:
        turns, deletions = turns.filter(user_id=user_id), deletions.filter(user_id=user_id)
    pairs = [
        *turns.order_by("id").values_list("user_id", "conversation_id"),
        *deletions.order_by("deleted_at").values_list("user_id", "conversation_id"),
    ]
    return [ConversationKey(*pair) for pair in dict.fromkeys(pairs)]


def flush_all(
    user_id: str | None = None,
    on_each: Callable[[int, int], None] = lambda done, left: None,
    on_corrupt: Callable[[ConversationKey], None] = lambda key: None,
) -> tuple[int, int]:
    """Flush every conversation that waits; go on after a failure.

    Return how many conversations have nothing waiting any more, and how many still do. Those that
    can't be read are neither: they wait for an operator, not for the next run.

    Args:
        user_id: of this user alone, None for all.
        on_each: called after each conversation, with both numbers so far.
        on_corrupt: called with each that can't be read.
    """
    try:
        Turn.objects.all().shorten_leases()
    except db.Error as error:  # the next run will; they end by themselves, too
        logger.warning("leases were not looked at: %r", error)
    done = left = 0
    for key in pending(user_id):
        try:
            flushed = flush(OpenConversation(key, Deadline(settings.CHAT_TURN_SECONDS)))
        except StoreCorrupt:
            on_corrupt(key)  # quarantine and check_stores tell of it, and not each minute
            continue
        except StoreError as error:
            logger.warning("%s goes on waiting: %s", key, error.code)
            flushed = False
        except db.Error as error:
            logger.error("%s goes on waiting: %r", key, error)
            flushed = False
        done, left = done + flushed, left + (not flushed)
        on_each(done, left)
    return done, left
