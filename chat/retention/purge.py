"""Conversations that have expired leave the store and the database.

One goes only after its document was read and is what was meant; it is deleted under its ETag and
the conversation's lease, so one that is used meanwhile stays. A store that does not have what the
index says it has may be another store: nothing goes by its word.
"""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime

from django.conf import settings
from django.db import Error
from django.db.models import Q, QuerySet
from django.utils import timezone

from chat.conversations.state import ConversationKey
from chat.deadline import Deadline
from chat.errors import (
    ChatError,
    StoreConflict,
    StoreCorrupt,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
)
from chat.locks import in_line
from chat.models import Conversation
from chat.quarantine import copies
from chat.repository import Stored, conversation_repository
from chat.retention.sweep import (
    PurgeOptions,
    Report,
    count_index,
    reason_of,
    remove_index,
    turns_in_the_way,
)
from chat.retention.sweep import sweep as sweep_leftovers
from chat.turns import document
from chat.turns.document import Snapshot
from chat.turns.lease import leased

logger = logging.getLogger(__name__)

SECONDS_MAX = 15.0  # for one conversation
OUTAGES_BEFORE_PAUSE = 3
OUTAGES_MAX = 10  # in a row; the rest is for the next run


class _Stays(Exception):
    """The conversation is in use, or not due after all."""


class _Astray(Exception):
    """The store does not have what it should have by the index."""


def purge(
    options: PurgeOptions, on_batch: Callable[[Report], None] = lambda report: None
) -> Report:
    """Purge what is due; go on after a failure.

    Args:
        options: what is due.
        on_batch: called with what it came to so far, after each batch.
    """
    report = Report()
    for batch in _batches(options):
        for row in batch:
            _try_one(row, options, report)
            if report.outages >= OUTAGES_MAX:
                logger.error("the conversation store is away; the rest is left for the next run")
                return report
        on_batch(report)
    sweep_leftovers(options, report)
    return report


def due(options: PurgeOptions) -> QuerySet[Conversation]:
    """Return the conversations that are due by the index."""
    is_due = Q(expires_at__lte=options.now) | Q(
        expires_at=None, updated_at__lt=options.lifetime_ago
    )
    if options.older_than is not None:
        is_due |= Q(updated_at__lt=options.older_than)
    return options.of_user(Conversation.objects.filter(is_due, active=True))


def _batches(options: PurgeOptions) -> Iterator[list[Conversation]]:
    """Yield the conversations that are due, in batches by their row ids."""
    rows, last = due(options).order_by("id"), 0
    while batch := list(rows.filter(id__gt=last)[: options.batch_size]):
        last = batch[-1].pk
        yield batch


def _try_one(row: Conversation, options: PurgeOptions, report: Report) -> None:
    report.looked_at += 1
    try:
        _purge_one(row, options, report)
    except (_Stays, StoreConflict):
        report.kept += 1
    except (_Astray, ChatError, Error, ValueError) as error:
        report.failed += 1
        logger.warning("conversation %s was not purged: %s", row, reason_of(error))
        if isinstance(error, StoreUnavailable):
            report.outages += 1
            if report.outages > OUTAGES_BEFORE_PAUSE:
                time.sleep(settings.CHAT_STORE_PAUSE_SECONDS)
            return
    else:
        report.purged += 1
    report.outages = 0


def _purge_one(row: Conversation, options: PurgeOptions, report: Report) -> None:
    key = ConversationKey(row.user_id, row.conversation_id)
    if turns_in_the_way(key, options).exists():
        raise _Stays
    deadline = Deadline(SECONDS_MAX)
    if options.dry_run:
        etag = _etag_if_due(key, row, options, deadline)
        report.states += etag is not None
        count_index(key, report)
        name = (row.user_id, row.conversation_id)
        options.name("conversation", *name, row.updated_at, row.expires_at)
        return
    with leased(key, deadline) as held:
        current = document.index_row(key)
        if not held or current is None or not current.active:
            raise _Stays
        if current.updated_at != row.updated_at:
            raise _Stays
        _delete(key, current, options, deadline, report)


def _delete(
    key: ConversationKey,
    row: Conversation,
    options: PurgeOptions,
    deadline: Deadline,
    report: Report,
) -> None:
    """Delete the document, then all that the database has of it."""
    etag = _etag_if_due(key, row, options, deadline)
    if etag is not None:
        # From here on it is no wonder that it is missing, also to a run after one that was killed.
        unchanged = Conversation.objects.filter(pk=row.pk, active=True, updated_at=row.updated_at)
        if not _set_expiry(unchanged, options.now):
            raise _Stays
        try:
            conversation_repository().delete(key, etag, deadline.at)
        except StoreConflict:
            ours = Conversation.objects.filter(pk=row.pk, expires_at=options.now)
            _set_expiry(ours, row.expires_at)
            raise
        report.states += 1
    if not remove_index(key, row.updated_at, options, report):
        raise _Stays


def _set_expiry(rows: QuerySet[Conversation], expires_at: datetime | None) -> bool:
    with in_line():
        return bool(rows.update(expires_at=expires_at))


def _etag_if_due(
    key: ConversationKey, row: Conversation, options: PurgeOptions, deadline: Deadline
) -> str | None:
    """Return the ETag of what is to be deleted, None when nothing is there.

    Raises:
        _Stays: the store says that it is in use; or it is corrupt, and nobody asked for its age.
        _Astray: it should be there.
        StoreUnavailable.
    """
    try:
        stored = conversation_repository().get(key, deadline.at)
    except (StoreMissing, StoreRefused):  # refused: the store can't have such a key
        if not _may_be_gone(row, options):
            raise _Astray("it is not in this store, and should be; is it the right one?") from None
        return None
    except StoreCorrupt as corrupt:
        # The index alone knows its age. An operator is to look at it first, or to ask for its end.
        if options.older_than is None or row.updated_at >= options.older_than:
            raise _Stays from None
        return corrupt.etag
    if not _is_due(stored, options):
        if not options.dry_run:
            if row.corrupt:
                copies.resolve(key)
            document.repair_index(key, row, Snapshot(stored.state, stored.etag, stored.expires_at))
        raise _Stays
    return stored.etag


def _is_due(stored: Stored, options: PurgeOptions) -> bool:
    if stored.expires_at is not None and stored.expires_at <= timezone.now():
        return True
    return options.older_than is not None and stored.state.updated_at < options.older_than


def _may_be_gone(row: Conversation, options: PurgeOptions) -> bool:
    """Whether the index agrees that the store has nothing."""
    if row.expires_at is not None:
        return row.expires_at <= options.now
    return row.message_count == 0 or row.updated_at < options.lifetime_ago
