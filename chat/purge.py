"""Conversations that have expired leave the store and the index.

A conversation goes only after its document was read and is what was meant; it is deleted under its
ETag, so one that is used meanwhile stays.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from chat.conversation import ConversationKey
from chat.deadline import Deadline
from chat.errors import StoreConflict, StoreError, StoreMissing, Unavailable
from chat.locks import user_transaction
from chat.models import Conversation, Turn
from chat.repository import Stored, conversation_repository
from chat.turns import document
from chat.turns.document import Snapshot

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Report:
    """What a purge came to, in conversations."""

    purged: int = 0
    kept: int = 0
    failed: int = 0


def candidates(
    older_than: datetime | None, user_id: str | None, batch_size: int
) -> Iterator[ConversationKey]:
    """Yield the conversations that the index says have expired, in batches by their row ids.

    Args:
        older_than: also those that were not used since then; None: the expired alone.
        user_id: of this user alone, None for all.
        batch_size: how many rows are read at a time.
    """
    due = Q(expires_at__lte=timezone.now())
    if older_than is not None:
        due |= Q(updated_at__lt=older_than)
    rows = Conversation.objects.filter(due, active=True).order_by("id")
    if user_id is not None:
        rows = rows.filter(user_id=user_id)
    last = 0
    while batch := list(rows.filter(id__gt=last)[:batch_size]):
        last = batch[-1].pk
        yield from (ConversationKey(row.user_id, row.conversation_id) for row in batch)


def purge(
    older_than: datetime | None,
    user_id: str | None,
    batch_size: int,
    dry_run: bool,
) -> Report:
    """Purge what candidates yields; go on after a failure."""
    report = Report()
    for key in candidates(older_than, user_id, batch_size):
        try:
            purged = _purge_one(key, older_than, dry_run)
        except StoreConflict:
            purged = False  # used meanwhile
        except (StoreError, Unavailable) as error:
            report.failed += 1
            logger.warning("conversation %s was not purged: %s", key.conversation_id, error.code)
            continue
        report.purged += purged
        report.kept += not purged
    return report


def _purge_one(key: ConversationKey, older_than: datetime | None, dry_run: bool) -> bool:
    """Purge the conversation if the store, too, says that it is due; return whether it was."""
    if _has_turns_to_store(key):
        return False
    deadline = Deadline(settings.CHAT_TURN_SECONDS)
    try:
        stored = conversation_repository().get(key, deadline.at)
    except StoreMissing:
        return dry_run or _blank_index(key)
    if not _is_due(stored, older_than):
        if not dry_run:
            document.repair_index(key, Snapshot(stored.state, stored.etag, stored.expires_at))
        return False
    if dry_run:
        return True
    conversation_repository().delete(key, stored.etag, deadline.at)
    return _blank_index(key)


def _is_due(stored: Stored, older_than: datetime | None) -> bool:
    expired = stored.expires_at is not None and stored.expires_at <= timezone.now()
    return expired or (older_than is not None and stored.state.updated_at < older_than)


def _has_turns_to_store(key: ConversationKey) -> bool:
    turns = Turn.objects.filter(user_id=key.user_id, conversation_id=key.conversation_id)
    return turns.exclude(state=Turn.State.STORED).exists()


def _blank_index(key: ConversationKey) -> bool:
    """Leave nothing of the conversation but its id, which is not given out again."""
    with user_transaction(key.user_id):
        row = document.index_row(key)
        if row is None or _has_turns_to_store(key):
            return False
        row.active = row.corrupt = row.title_renamed = False
        row.title, row.message_count, row.expires_at = "", 0, None
        row.awaiting_confirmation = []
        row.save()
        Turn.objects.filter(user_id=key.user_id, conversation_id=key.conversation_id).delete()
    return True
