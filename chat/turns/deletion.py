"""A deletion that sticks: the mark first, then an empty document in place of the old one.

A plain DELETE would let a writer that still holds the old ETag write the old document anew (Redis
behind Dapr takes such a save). An empty document with another `created_at` makes it fail; once it
has expired, no such writer is left.
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
from chat.locks import in_line, user_transaction
from chat.models import Conversation, Quarantine, Turn
from chat.moments import MICROSECOND
from chat.repository import conversation_repository
from chat.turns.accept import LEASE_MARGIN_SECONDS
from chat.turns.document import blank, index_row, is_turn_deleted, reads_as_integer, save_row
from chat.turns.waiting import turns_of

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
    """Mark the index row, and remove all that the database knows; False without a row."""
    with user_transaction(key.user_id):
        row = index_row(key)
        if row is None:
            return False
        turns = turns_of(key)
        last = turns.aggregate(last=Max("accepted_at"))["last"]
        row.deleted_at = max(timezone.now(), row.created_at + MICROSECOND, last or row.created_at)
        if row.active or row.deletion_pending:
            row.deletion_pending = True
        blank(row)
        save_row(row, "corrupt")
        turns.delete()
        Quarantine.objects.filter(user_id=key.user_id, conversation_id=key.conversation_id).delete()
    return True


def _delete_unknown(key: ConversationKey, deadline: Deadline) -> bool:
    """Delete what only the store knows of; a conversation that nobody knows leaves no row."""
    try:
        conversation_repository().get(key, deadline.at)
    except (StoreMissing, StoreRefused):  # refused: the store can't have such a key
        return True
    except StoreError:
        pass  # it may be there
    with user_transaction(key.user_id):
        if index_row(key) is None:
            _check_pending(key.user_id)
            Conversation.objects.create(
                user_id=key.user_id,
                conversation_id=key.conversation_id,
                id_is_integer=reads_as_integer(key.conversation_id),
            )
        mark_deleted(key)
    return apply_deletion(key, deadline)


def _check_pending(user_id: str) -> None:
    """Let nobody fill the database with ids that they make up while the store is away."""
    if Conversation.objects.filter(user_id=user_id, deletion_pending=True).count() >= PENDING_MAX:
        raise RateLimited(
            f"{PENDING_MAX} deletions wait for the conversation store already. Try again later.",
            code="too_many_deletions",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )


def apply_deletion(key: ConversationKey, deadline: Deadline) -> bool:
    """Empty the document that was marked as deleted; return whether that is done."""
    row = index_row(key)
    if row is None or row.deleted_at is None:
        return True
    for _ in range(TRIES):
        try:
            if _is_gone(key, row.deleted_at, deadline):
                _note(row, waits=False)
                return True
        except StoreConflict:
            continue
        except StoreError as error:
            logger.warning("a deletion waits for the conversation store: %s", error.code)
            break
    _note(row, waits=True)
    return False


def _note(row: Conversation, *, waits: bool) -> None:
    """Note whether this deletion waits for the store, unless there was another one since."""
    with in_line():
        Conversation.objects.filter(pk=row.pk, deleted_at=row.deleted_at).update(
            deletion_pending=waits
        )


def _is_gone(key: ConversationKey, deleted_at: datetime, deadline: Deadline) -> bool:
    """Whether nothing from before the mark is there; if something is, put an empty document."""
    try:
        stored = conversation_repository().get(key, deadline.at)
    except (StoreMissing, StoreRefused):  # refused: the store can't have such a key
        return True
    except StoreCorrupt as corrupt:
        etag = corrupt.etag
    else:
        if stored.state.created_at > deleted_at:
            return True  # begun anew since
        if stored.state.created_at == deleted_at and not stored.state.messages:
            return True
        etag = stored.etag
    empty = new_conversation(key, deleted_at)
    conversation_repository().save(empty, etag, tombstone_seconds(), deadline.at)
    return True


def tombstone_seconds() -> int:
    """Twice as long as any writer can hold an old ETag."""
    return 2 * int(settings.CHAT_TURN_SECONDS + LEASE_MARGIN_SECONDS + 1)


def deleted_of(key: ConversationKey, turns: Sequence[Turn]) -> list[str]:
    """Return the ids of those that went with the conversation.

    Not of those that it has since it began anew, nor of those that were stored and pruned.
    """
    kept = set(Turn.objects.filter(pk__in=[turn.pk for turn in turns]).values_list("pk", flat=True))
    gone = [turn for turn in turns if turn.pk not in kept]
    row = index_row(key) if gone else None
    return [turn.id for turn in gone if is_turn_deleted(turn, row)]


def undo(key: ConversationKey, turns: Sequence[Turn], deadline: Deadline) -> None:
    """Take turns out of the document that were stored while the conversation was deleted.

    It is also the way in which a deletion that could not be carried out yet is: the mark stays.
    """
    turn_ids = deleted_of(key, turns)
    if not apply_deletion(key, deadline) or not turn_ids:
        return
    for _ in range(TRIES):
        try:
            stored = conversation_repository().get(key, deadline.at)
            ours = [turn_id for turn_id in turn_ids if has_turn(stored.state, turn_id)]
            if not ours:
                return
            state = stored.state
            for turn_id in ours:
                state = remove_turn(state, turn_id, timezone.now())
            conversation_repository().save(state, stored.etag, settings.CHAT_STATE_TTL, deadline.at)
        except (StoreConflict, StoreUnavailable):
            if deadline.passed:
                break
        except StoreMissing:
            return
        except StoreError:
            break
    logger.error("turns of a deleted conversation could not be taken out of its successor")
