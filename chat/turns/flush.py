"""Storing what was left waiting: turns, and deletions. Any number of workers may do it at once."""

import logging
import secrets
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from chat.conversation import ConversationKey
from chat.deadline import Deadline
from chat.errors import StoreError, Unavailable
from chat.locks import user_transaction
from chat.models import Conversation, Turn
from chat.turns import deletion
from chat.turns.document import index_row
from chat.turns.store import store_waiting
from chat.turns.waiting import to_be_stored, waiting_turns

logger = logging.getLogger(__name__)

LEASE_SECONDS = 30


def flush(key: ConversationKey, deadline: Deadline) -> bool:
    """Store the conversation's waiting turns and its deletion, under its lease.

    Return whether nothing of it waits any more; False too when another worker has the lease.

    Raises:
        StoreUnavailable, StoreConflict, StoreCorrupt: it goes on waiting.
    """
    token = _lease(key)
    if token is None:
        return False
    try:
        row = index_row(key)
        if row is not None and row.deletion_pending and not deletion.apply_deletion(key, deadline):
            return False
        if waiting_turns(key):
            store_waiting(key, deadline)
        return not waiting_turns(key)
    finally:
        Conversation.objects.filter(
            user_id=key.user_id, conversation_id=key.conversation_id, lease_token=token
        ).update(lease_until=None, lease_token="")


def _lease(key: ConversationKey) -> str | None:
    """Take the conversation's lease, None when somebody has it."""
    token = secrets.token_hex(16)
    now = timezone.now()
    with user_transaction(key.user_id):
        row = index_row(key)
        if row is None or (row.lease_until is not None and row.lease_until > now):
            return None
        row.lease_token, row.lease_until = token, now + timedelta(seconds=LEASE_SECONDS)
        row.save(update_fields=["lease_token", "lease_until"])
    return token


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


def flush_all(user_id: str | None = None) -> tuple[int, int]:
    """Flush every conversation that waits; go on after a failure.

    Return how many conversations have nothing waiting any more, and how many still do.
    """
    done = left = 0
    for key in pending(user_id):
        try:
            flushed = flush(key, Deadline(settings.CHAT_TURN_SECONDS))
        except (StoreError, Unavailable) as error:
            logger.warning("conversation %s: %s", key.conversation_id, error.code)
            flushed = False
        done, left = done + flushed, left + (not flushed)
    return done, left


def prune(batch_size: int = 500) -> int:
    """Drop stored turns that are too old to be repeated; return how many."""
    oldest = timezone.now() - timedelta(seconds=settings.CHAT_KEEP_TURNS_SECONDS)
    dropped = 0
    while ids := list(
        Turn.objects.filter(state=Turn.State.STORED, accepted_at__lt=oldest).values_list(
            "id", flat=True
        )[:batch_size]
    ):
        dropped += Turn.objects.filter(id__in=ids).delete()[0]
    return dropped
