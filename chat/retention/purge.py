"""Purging conversations that have expired, from the store and the database.

One goes only after its document was read and is what was meant; it is deleted under its ETag and
the conversation's lease, so one that is used meanwhile stays. A store that does not have what the
index says it has may be another store: nothing is deleted because of that.
"""

import logging
import time
from collections.abc import Callable, Iterator

from django.conf import settings
from django.db import Error
from django.db.models import Q, QuerySet
from django.utils import timezone

from chat.deadline import Deadline
from chat.errors import (
    ChatError,
    StoreConflict,
    StoreCorrupt,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
)
from chat.models import Conversation
from chat.repository import StoredConversation, conversation_repository
from chat.retention.sweep import (
    PurgeOptions,
    Report,
    count_index,
    reason_of,
    remove_index,
    sweep,
    turns_in_the_way,
)
from chat.turns import index
from chat.turns.flush import leased
from chat.turns.open_conversation import OpenConversation, Snapshot

logger = logging.getLogger(__name__)

SECONDS_MAX = 15.0  # for one conversation
OUTAGES_BEFORE_PAUSE = 3
OUTAGES_MAX = 10  # in a row; the rest is for the next run


class _Stays(Exception):
    """The conversation is in use, or not due after all."""


class _Astray(Exception):
    """The store does not have what the index says that it has."""


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
    sweep(options, report)
    return report


def due(options: PurgeOptions) -> QuerySet[Conversation]:
    """Return the conversations that are due by the index, if they are of options.user_id."""
    is_due = _has_expired(options) | _is_old(options)
    return options.of_user(Conversation.objects.filter(is_due, active=True))


def _has_expired(options: PurgeOptions) -> Q:
    # Not those that expire just then: _delete marks so what it has begun with.
    return Q(expires_at__lt=options.now)


def _is_old(options: PurgeOptions) -> Q:
    is_old = Q(expires_at=None, updated_at__lt=options.lifetime_ago)
    if options.older_than is not None:
        is_old |= Q(updated_at__lt=options.older_than)
    return Q(is_old, updated_at__lt=options.oldest)


def _batches(options: PurgeOptions) -> Iterator[list[Conversation]]:
    """Yield what is due, in the order of an index each: by their ids all rows would be read."""
    active = Conversation.objects.filter(active=True)
    yield from options.in_batches(active.filter(_has_expired(options)), "expires_at")
    # A row of neither has no expiry, which a plain "not" of the condition would leave out.
    is_left = Q(expires_at=None) | Q(expires_at__gt=options.now)
    yield from options.in_batches(active.filter(_is_old(options), is_left), "updated_at")


def _try_one(row: Conversation, options: PurgeOptions, report: Report) -> None:
    report.looked_at += 1
    try:
        _Purging(row, options, report).run()
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


class _Purging:
    """One conversation that is due by the index."""

    def __init__(self, row: Conversation, options: PurgeOptions, report: Report) -> None:
        self.row = row
        self.key = row.key
        self.options = options
        self.report = report
        self.deadline = Deadline(SECONDS_MAX)

    def run(self) -> None:
        row, options = self.row, self.options
        if turns_in_the_way(self.key, options).exists():
            raise _Stays
        if options.dry_run:
            self.report.states += self._etag_if_due() is not None
            count_index(self.key, self.report)
            name = (row.user_id, row.conversation_id)
            options.name("conversation", *name, row.updated_at, row.expires_at)
            return
        with leased(self.key, self.deadline) as held:
            current = Conversation.at(self.key)
            if not held or current is None or not current.active:
                raise _Stays
            if current.updated_at != row.updated_at:
                raise _Stays
            self.row = current
            self._delete()

    def _delete(self) -> None:
        """Delete the document, then all that the database has of it."""
        rows = Conversation.objects.filter(pk=self.row.pk)
        etag = self._etag_if_due()
        if etag is not None:
            # From here on it may be missing, also for a run after one that was killed.
            unchanged = rows.filter(active=True, updated_at=self.row.updated_at)
            if not unchanged.update(expires_at=self.options.now):
                raise _Stays
            try:
                conversation_repository().delete(self.key, etag, self.deadline.at)
            except StoreConflict:
                ours = rows.filter(expires_at=self.options.now)
                ours.update(expires_at=self.row.expires_at)
                raise
            self.report.states += 1
        if not remove_index(self.row, self.options, self.report):
            raise _Stays

    def _etag_if_due(self) -> str | None:
        """Return the ETag of what is to be deleted, None when the store has nothing.

        Raises:
            _Stays: the store says that it is in use; or it is corrupt, and nobody asked for its
                age.
            _Astray: the store should have it.
            StoreUnavailable.
        """
        try:
            stored = conversation_repository().get(self.key, self.deadline.at)
        except (StoreMissing, StoreRefused):  # refused: the store can't have such a key
            if not self._may_be_gone():
                raise _Astray(
                    "it is not in this store, and should be; is it the right one?"
                ) from None
            return None
        except StoreCorrupt as corrupt:
            # The index alone knows its age. An operator is to look at it first, or to ask for its
            # end.
            older_than = self.options.older_than
            if older_than is None or self.row.updated_at >= older_than:
                raise _Stays from None
            return corrupt.etag
        if not self._is_due(stored):
            if not self.options.dry_run:
                self._repair_index(stored)
            raise _Stays
        return stored.etag

    def _repair_index(self, stored: StoredConversation) -> None:
        if self.row.corrupt:
            Conversation.objects.mark_readable(self.key)
        snapshot = Snapshot(stored.state, stored.etag, stored.expires_at)
        index.repair(OpenConversation(self.key, self.deadline, self.row, snapshot))

    def _is_due(self, stored: StoredConversation) -> bool:
        if stored.expires_at is not None and stored.expires_at <= timezone.now():
            return True
        older_than = self.options.older_than
        return older_than is not None and stored.state.updated_at < older_than

    def _may_be_gone(self) -> bool:
        """Return whether the index agrees that the store has nothing."""
        if self.row.expires_at is not None:
            return self.row.expires_at <= self.options.now
        return self.row.message_count == 0 or self.row.updated_at < self.options.lifetime_ago
