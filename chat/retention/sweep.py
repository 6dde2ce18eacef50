"""What the database has of conversations that are over, and when it goes."""

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
from chat.errors import ChatError, Unavailable
from chat.locks import in_line, user_transaction
from chat.models import ChatUser, Conversation, Quarantine, Turn
from chat.turns import document
from chat.turns.numbering import is_never_given_out_again

logger = logging.getLogger(__name__)

Row = TypeVar("Row", bound=Model)
Name = Callable[[str, str, str, datetime, datetime | None], None]


@dataclass(frozen=True, slots=True)
class PurgeOptions:
    """What a purge is asked for.

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
        """What was stored before that has expired."""
        return self.now - timedelta(seconds=settings.CHAT_STATE_TTL)

    @property
    def oldest(self) -> datetime:
        """From when on things are kept: a conversation's lifetime ago, or what was asked for."""
        return max(self.lifetime_ago, self.older_than or self.lifetime_ago)

    def of_user(self, rows: QuerySet[Row]) -> QuerySet[Row]:
        """Return those of the user."""
        return rows if self.user_id is None else rows.filter(user_id=self.user_id)


@dataclass(slots=True)
class Report:
    """What a purge came to: conversations first, then what went of them, by kind."""

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
    turns = Turn.objects.filter(user_id=key.user_id, conversation_id=key.conversation_id)
    turns = turns.exclude(state=Turn.State.STORED)
    return turns.exclude(state=Turn.State.DEAD_LETTER, accepted_at__lt=options.oldest)


def remove_index(
    key: ConversationKey, updated_at: datetime, options: PurgeOptions, report: Report
) -> bool:
    """Remove what the database has of the conversation, unless it was used after `updated_at`."""
    with user_transaction(key.user_id) as user:
        row = document.index_row(key)
        if row is None or row.updated_at != updated_at or turns_in_the_way(key, options).exists():
            return False
        where = {"user_id": key.user_id, "conversation_id": key.conversation_id}
        report.turns += Turn.objects.filter(**where).delete()[0]
        report.copies += Quarantine.objects.filter(**where).delete()[0]
        report.rows += 1
        if _is_needed_no_more(row, user, options):
            row.delete()
        else:
            document.blank(row)
            document.save_row(row, "corrupt")
    return True


def count_index(key: ConversationKey, report: Report) -> None:
    """Count what remove_index would remove."""
    where = {"user_id": key.user_id, "conversation_id": key.conversation_id}
    report.rows += 1
    report.turns += Turn.objects.filter(**where).count()
    report.copies += Quarantine.objects.filter(**where).count()


def _is_needed_no_more(row: Conversation, user: ChatUser, options: PurgeOptions) -> bool:
    """Whether neither its id nor the mark of a deletion has to be remembered."""
    if row.deleted_at is not None and row.deleted_at >= options.lifetime_ago:
        return False
    return is_never_given_out_again(user, row.conversation_id)


def sweep(options: PurgeOptions, report: Report) -> None:
    """Remove what is left of conversations that are over; go on after a failure."""
    for part in (_sweep_copies, _sweep_rows):
        with _counted(report, "the next batch"):
            part(options, report)


@contextmanager
def _counted(report: Report, what: object) -> Iterator[None]:
    """Count a failure of the database, in place of raising it."""
    try:
        yield
    except (Unavailable, Error) as error:
        report.failed += 1
        logger.warning("%s was not swept: %s", what, reason_of(error))


def reason_of(error: Exception) -> str:
    """Return one for the log."""
    return error.code if isinstance(error, ChatError) else str(error) or repr(error)


def _sweep_copies(options: PurgeOptions, report: Report) -> None:
    """Copies in quarantine that are resolved, or of no conversation, as long as one lasts."""
    conversations = Conversation.objects.filter(
        user_id=OuterRef("user_id"), conversation_id=OuterRef("conversation_id")
    )
    copies = options.of_user(Quarantine.objects.all()).filter(
        Q(found_at__lt=options.oldest, resolved_at__isnull=False)
        | Q(found_at__lt=options.oldest) & ~Exists(conversations.filter(active=True))
        | Exists(conversations.filter(active=False, deletion_pending=False))
    )
    due = copies.defer("content_base64").order_by("id")
    last = 0
    while batch := list(due.filter(id__gt=last)[: options.batch_size]):
        last = batch[-1].pk
        if options.dry_run:
            for copy in batch:
                options.name("copy", copy.user_id, copy.conversation_id, copy.found_at, None)
            report.copies += len(batch)
            continue
        with _counted(report, f"a batch of {len(batch)} copies"), in_line():
            report.copies += copies.filter(pk__in=[copy.pk for copy in batch]).delete()[0]


def _sweep_rows(options: PurgeOptions, report: Report) -> None:
    """Index rows of conversations that were deleted or purged, once nothing needs them."""
    over = Q(deleted_at=None) | Q(deleted_at__lt=options.lifetime_ago)
    rows = Conversation.objects.filter(over, active=False, deletion_pending=False)
    rows = options.of_user(rows).order_by("id")
    last = 0
    while batch := list(rows.filter(id__gt=last)[: options.batch_size]):
        last = batch[-1].pk
        for row in batch:
            with _counted(report, row):
                report.rows += _forget(row, options)


def _forget(row: Conversation, options: PurgeOptions) -> bool:
    """Delete the row if it still may go; return whether it went."""
    key = ConversationKey(row.user_id, row.conversation_id)
    if options.dry_run:
        user = ChatUser.objects.filter(pk=row.user_id).first() or ChatUser(user_id=row.user_id)
        goes = _is_needed_no_more(row, user, options)
        if goes:
            at = row.deleted_at or row.updated_at
            options.name("row", row.user_id, row.conversation_id, at, None)
        return goes
    with user_transaction(key.user_id) as user:
        current = document.index_row(key)
        if current is None or current.active or current.deletion_pending:
            return False
        has_turns = Turn.objects.filter(user_id=key.user_id, conversation_id=key.conversation_id)
        if has_turns.exists() or not _is_needed_no_more(current, user, options):
            return False
        current.delete()
    return True
