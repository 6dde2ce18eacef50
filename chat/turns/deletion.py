"""Deleting conversations: first the mark, then an empty document in place of the old one.

After a plain DELETE, a writer that still holds the old ETag could write the old document back
(Redis behind Dapr takes such a save). An empty document with another `created_at` makes it fail;
once that has expired, no such writer is left.
"""

import logging
from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.db.models import Max
from django.utils import timezone

from chat.conversations.history import has_turn, remove_turn
from chat.conversations.state import ConversationKey, new_conversation
from chat.deadline import Deadline
from chat.errors import (
    RateLimited,
    StoreConflict,
    StoreCorrupt,
    StoreError,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
)
from chat.locks import user_transaction
from chat.models import Conversation, Quarantine, Turn
from chat.models.turns import LEASE_MARGIN_SECONDS
from chat.moments import MICROSECOND
from chat.repository import conversation_repository
from chat.turns.open_conversation import OpenConversation
from common.events.models import forget

logger = logging.getLogger(__name__)

TRIES = 20
PENDING_MAX = 100  # deletions of a user that wait, before one of a conversation nobody knows does
RETRY_AFTER_SECONDS = 60  # about as often as operators flush


def delete_conversation(key: ConversationKey, deadline: Deadline) -> bool:
    """Delete the conversation; return whether the store is done with it too.

    If it isn't (the store is away), the deletion waits like a turn. Deleting what isn't there is
    no error.

    Raises:
        RateLimited: the store is away, the database does not know the conversation, and PENDING_MAX
            deletions of the user wait already.
    """
    if not mark_deleted(key):
        return _delete_unknown(key, deadline)
    return apply_deletion(key, deadline)


def mark_deleted(key: ConversationKey) -> bool:
    """Mark the index row, and remove all that the database knows; return False without a row."""
    with user_transaction(key.user_id):
        row = Conversation.at(key)
        if row is None:
            return False
        turns = Turn.objects.of(key)
        # No earlier than the turns that it takes along, whichever machine's clock they are from.
        last = turns.aggregate(last=Max("accepted_at"))["last"] or row.created_at
        row.deleted_at = max(timezone.now(), row.created_at + MICROSECOND, last)
        if row.active or row.deletion_pending:
            row.deletion_pending = True
        row.blank()
        row.save_but_lease("corrupt")
        turns.delete()
        Quarantine.objects.of(key).delete()
        forget(**row.event_subject)
    return True


def _delete_unknown(key: ConversationKey, deadline: Deadline) -> bool:
    """Delete what only the store knows of; an id that nobody knows leaves no row."""
    try:
        conversation_repository().get(key, deadline.at)
    except (StoreMissing, StoreRefused):  # refused: the store can't have such a key
        return True
    except StoreError:
        pass  # it may be there
    with user_transaction(key.user_id):
        if Conversation.at(key) is None:
            _check_pending(key.user_id)
            Conversation.new(key).save()
        mark_deleted(key)
    return apply_deletion(key, deadline)


def _check_pending(user_id: str) -> None:
    # Nobody fills the database with ids that they make up while the store is away.
    if Conversation.objects.filter(user_id=user_id, deletion_pending=True).count() >= PENDING_MAX:
        raise RateLimited(
            f"{PENDING_MAX} deletions wait for the conversation store already. Try again later.",
            code="too_many_deletions",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )


def apply_deletion(key: ConversationKey, deadline: Deadline) -> bool:
    """Empty the document that was marked as deleted; return whether that is done."""
    row = Conversation.at(key)
    if row is None or row.deleted_at is None:
        return True
    done = _empty(key, row.deleted_at, deadline)
    # Unless there was another deletion since, for which somebody else does this.
    Conversation.objects.filter(pk=row.pk, deleted_at=row.deleted_at).update(
        deletion_pending=not done
    )
    return done


def _empty(key: ConversationKey, deleted_at: datetime, deadline: Deadline) -> bool:
    for _ in range(TRIES):
        try:
            _put_empty(key, deleted_at, deadline)
        except StoreConflict:
            continue
        except StoreError as error:
            logger.warning("a deletion waits for the conversation store: %s", error.code)
            return False
        return True
    return False


def _put_empty(key: ConversationKey, deleted_at: datetime, deadline: Deadline) -> None:
    """Put an empty document in the place of one from before the mark."""
    try:
        stored = conversation_repository().get(key, deadline.at)
    except (StoreMissing, StoreRefused):  # refused: the store can't have such a key
        return
    except StoreCorrupt as corrupt:
        etag = corrupt.etag
    else:
        etag = stored.etag
        is_empty = stored.state.created_at == deleted_at and not stored.state.messages
        if is_empty or stored.state.created_at > deleted_at:  # later: it was begun again since
            return
    empty = new_conversation(key, deleted_at)
    conversation_repository().save(empty, etag, tombstone_seconds(), deadline.at)


def tombstone_seconds() -> int:
    """Return how long the empty document stays: twice as long as a writer can hold an old ETag."""
    return 2 * int(settings.CHAT_TURN_SECONDS + LEASE_MARGIN_SECONDS + 1)


def deleted_of(turns: Sequence[Turn]) -> list[str]:
    """Return the ids of those that were deleted with their conversation, which all share.

    A turn without a row may also have been stored, and pruned since. The index row tells: a turn is
    accepted after the deletions before it, and the mark of a deletion is no earlier than the turns
    that it takes along.
    """
    kept = set(Turn.objects.filter(pk__in=[turn.pk for turn in turns]).values_list("pk", flat=True))
    gone = [turn for turn in turns if turn.pk not in kept]
    row = Conversation.at(gone[0].key) if gone else None
    return [
        turn.id for turn in gone if row is None or not row.active or row.hides(turn.accepted_at)
    ]


def undo(conversation: OpenConversation, turns: Sequence[Turn]) -> None:
    """Take turns out of the document that were stored while the conversation was deleted.

    This also carries out a deletion that could not be carried out before: the mark stays.
    """
    turn_ids = deleted_of(turns)
    if not apply_deletion(conversation.key, conversation.deadline) or not turn_ids:
        return
    for _ in range(TRIES):
        try:
            if _take_out(conversation, turn_ids):
                return
        except (StoreConflict, StoreUnavailable):
            if conversation.deadline.passed:
                break
        except StoreMissing:
            return
        except StoreError:
            break
    logger.error("turns of a deleted conversation could not be taken out of its successor")


def _take_out(conversation: OpenConversation, turn_ids: Sequence[str]) -> bool:
    """Save the document without these turns; return whether it had none of them any more."""
    at = conversation.deadline.at
    stored = conversation_repository().get(conversation.key, at)
    found = [turn_id for turn_id in turn_ids if has_turn(stored.state, turn_id)]
    if not found:
        return True
    state = stored.state
    for turn_id in found:
        state = remove_turn(state, turn_id, timezone.now())
    conversation_repository().save(state, stored.etag, settings.CHAT_STATE_TTL, at)
    return False
