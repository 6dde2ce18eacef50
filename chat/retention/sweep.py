"""Removing what the database has of conversations that are over."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from django.conf import settings
from django.db import Error
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.utils import timezone

from chat.conversations.state import ConversationKey
from chat.errors import ChatError
from chat.locks import user_transaction
from chat.models import ChatUser, Conversation, Quarantine, Turn
from chat.turns.traces import note_expiry
from common.events.models import forget

logger = logging.getLogger(__name__)

Row = TypeVar("Row", bound=Model)
Name = Callable[[str, str, str, datetime, datetime | None], None]


@dataclass(frozen=True, slots=True)
class PurgeOptions:
    """Options of a purge.

    Args:
        older_than: also what was not used since then; None: what has expired alone.
        user_id: of this user alone, None for all.
        batch_size: how many rows are read at a time.
        dry_run: change nothing.
        name: called, in a dry run, for each thing that would go: what it is, whose, of which
            conversation, its time, its expiry.
    """

    older_than: datetime | None = None
    user_id: str | None = None
    batch_size: int = 500
    dry_run: bool = False
    name: Name = lambda kind, user_id, conversation_id, at, expires_at: None
    now: datetime = field(default_factory=timezone.now)

    @property
    def lifetime_ago(self) -> datetime:
        """The time before which all that was stored then has expired."""
        return self.now - timedelta(seconds=settings.CHAT_STATE_TTL)

    @property
    def oldest(self) -> datetime:
        """The time since when things are kept: a lifetime ago, or what was asked for."""
        return max(self.lifetime_ago, self.older_than or self.lifetime_ago)

    def of_user(self, rows: QuerySet[Row]) -> QuerySet[Row]:
        """Return those of the rows that are the user's; all of them if none was named."""
        return rows if self.user_id is None else rows.filter(user_id=self.user_id)

    def in_batches(self, rows: QuerySet[Row], by: str = "id") -> Iterator[list[Row]]:
        """Yield those of the rows that are the user's, in batches in the order of a field."""
        rows = self.of_user(rows).order_by(by, "id")
        batch = list(rows[: self.batch_size])
        while batch:
            yield batch
            last = {by: getattr(batch[-1], by)}
            # The first condition is a range of an index; the second skips its rows of this batch.
            after = rows.filter(**{f"{by}__gte": last[by]}).exclude(**last, id__lte=batch[-1].pk)
            batch = list(after[: self.batch_size])


@dataclass(slots=True)
class Report:
    """Counts of a purge: conversations first, then what was removed of them, by kind."""

    looked_at: int = 0
    purged: int = 0
    kept: int = 0
    failed: int = 0
    states: int = 0
    rows: int = 0
    turns: int = 0
    copies: int = 0
    outages: int = 0  # in a row, at the end


def turns_in_the_way(key: ConversationKey, options: PurgeOptions) -> QuerySet[Turn]:
    """Return the turns for whose sake a conversation stays: those under way, or waiting.

    A dead letter stays as long as a conversation does.
    """
    turns = Turn.objects.of(key).exclude(state=Turn.State.STORED)
    return turns.exclude(state=Turn.State.DEAD_LETTER, accepted_at__lt=options.oldest)


def remove_index(row: Conversation, options: PurgeOptions, report: Report) -> bool:
    """Remove what the database has of the conversation.

    Return False, and remove nothing, if it was used since the row was read.
    """
    key = row.key
    with user_transaction(key.user_id) as user:
        current = Conversation.at(key)
        if current is None or current.updated_at != row.updated_at:
            return False
        if turns_in_the_way(key, options).exists():
            return False
        report.turns += Turn.objects.of(key).delete()[0]
        report.copies += Quarantine.objects.of(key).delete()[0]
        report.rows += 1
        forget(**row.event_subject)
        note_expiry(current, "Removed by a purge.")
        if _may_be_forgotten(current, user, options):
            current.delete()
        else:
            current.blank()
            current.save_but_lease("corrupt")
    return True


def count_index(key: ConversationKey, report: Report) -> None:
    """Count what remove_index would remove."""
    report.rows += 1
    report.turns += Turn.objects.of(key).count()
    report.copies += Quarantine.objects.of(key).count()


def _may_be_forgotten(row: Conversation, user: ChatUser, options: PurgeOptions) -> bool:
    """Return whether neither its id nor the mark of a deletion has to be remembered."""
    if row.deleted_at is not None and row.deleted_at >= options.lifetime_ago:
        return False
    return user.will_not_give_out(row.conversation_id)


def sweep(options: PurgeOptions, report: Report) -> None:
    """Remove what is left of conversations that are over; go on after a failure."""
    for part in (_sweep_copies, _sweep_rows):
        with _counted(report, "the next batch"):
            part(options, report)


@contextmanager
def _counted(report: Report, what: object) -> Iterator[None]:
    # A failure of the database: the rest is swept all the same.
    try:
        yield
    except Error as error:
        report.failed += 1
        logger.warning("%s was not swept: %s", what, reason_of(error))


def reason_of(error: Exception) -> str:
    """Return why something failed, for the log."""
    return error.code if isinstance(error, ChatError) else str(error) or repr(error)


def _sweep_copies(options: PurgeOptions, report: Report) -> None:
    """Delete copies in quarantine that are resolved, or of no conversation any more.

    They stay for as long as a conversation lasts.
    """
    conversations = Conversation.objects.filter(
        user_id=OuterRef("user_id"), conversation_id=OuterRef("conversation_id")
    )
    copies = Quarantine.objects.filter(
        Q(found_at__lt=options.oldest, resolved_at__isnull=False)
        | Q(found_at__lt=options.oldest) & ~Exists(conversations.filter(active=True))
        | Exists(conversations.filter(active=False, deletion_pending=False))
    )
    for batch in options.in_batches(copies.defer("content_base64")):
        if options.dry_run:
            for copy in batch:
                options.name("copy", copy.user_id, copy.conversation_id, copy.found_at, None)
            report.copies += len(batch)
            continue
        with _counted(report, f"a batch of {len(batch)} copies"):
            report.copies += copies.filter(pk__in=[copy.pk for copy in batch]).delete()[0]


def _sweep_rows(options: PurgeOptions, report: Report) -> None:
    """Delete index rows of conversations that were deleted or purged, once nothing needs them."""
    over = Q(deleted_at=None) | Q(deleted_at__lt=options.lifetime_ago)
    rows = Conversation.objects.filter(over, active=False, deletion_pending=False)
    for batch in options.in_batches(rows):
        users = ChatUser.objects.in_bulk({row.user_id for row in batch})
        for row in batch:
            user = users.get(row.user_id) or ChatUser(user_id=row.user_id)
            # Most rows stay, and are found again each time: no transaction for those.
            if _may_be_forgotten(row, user, options):
                with _counted(report, row):
                    report.rows += _forget(row, options)


def _forget(row: Conversation, options: PurgeOptions) -> bool:
    """Delete the row if it still may go; return whether it went."""
    if options.dry_run:
        at = row.deleted_at or row.updated_at
        options.name("row", row.user_id, row.conversation_id, at, None)
        return True
    with user_transaction(row.user_id) as user:
        current = Conversation.at(row.key)
        if current is None or current.active or current.deletion_pending:
            return False
        if Turn.objects.of(row.key).exists() or not _may_be_forgotten(current, user, options):
            return False
        current.delete()
    return True
