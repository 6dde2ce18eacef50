"""The index of conversations: lists, titles, and its repair. It holds no content but the title."""

import base64
import re
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from chat.conversations.state import ConversationKey
from chat.errors import InvalidInput
from chat.locks import user_transaction
from chat.models import Conversation, Turn
from chat.moments import microseconds, moment_of
from chat.turns.open_conversation import OpenConversation, Snapshot
from chat.turns.traces import note_expiry

EXPIRY_TOLERANCE = timedelta(seconds=5)

_CURSOR = re.compile(r"([0-9]{1,17})\.([0-9]{1,18})", re.ASCII)


def list_page(
    user_id: str, limit: int, cursor: str | None, search: str = ""
) -> tuple[list[Conversation], str | None]:
    """Return a page of the user's conversations, newest first, and the next one's cursor.

    None as the cursor: there are no more.

    Args:
        search: what the titles have to contain, in upper or lower case.

    Raises:
        InvalidInput: the cursor is not from such a list.
    """
    rows = Conversation.objects.filter(user_id=user_id, active=True)
    rows = rows.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
    if search:
        rows = rows.filter(title__icontains=search)
    if cursor is not None:
        moment, row_id = _position(cursor)
        rows = rows.filter(Q(updated_at__lt=moment) | Q(updated_at=moment, id__lt=row_id))
    page = list(rows.order_by("-updated_at", "-id")[: limit + 1])
    if len(page) <= limit:
        return page, None
    return page[:limit], _cursor_after(page[limit - 1])


def _cursor_after(row: Conversation) -> str:
    text = f"{microseconds(row.updated_at)}.{row.pk}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _position(cursor: str) -> tuple[datetime, int]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        match = _CURSOR.fullmatch(text)
        if match is not None:
            return moment_of(int(match[1])), int(match[2])
    except (ValueError, OverflowError):
        pass
    raise InvalidInput("The cursor is not one of this list.", code="invalid_cursor")


def rename(key: ConversationKey, title: str) -> Conversation | None:
    """Give the conversation a title that no message overwrites; return None if there is none."""
    with user_transaction(key.user_id):
        row = Conversation.at(key)
        if row is None or not row.active:
            return None
        row.title, row.title_renamed = title, True
        row.save(update_fields=["title", "title_renamed"])
    return row


def repair(conversation: OpenConversation) -> Conversation | None:
    """Make the index row say what the document says, where they differ; return the row.

    A conversation that is not in the store, and has no turns waiting, has expired. A row that was
    changed since it was read is left alone: the document may have been changed, too.
    """
    key, seen, snapshot = conversation.key, conversation.row, conversation.snapshot
    if snapshot is None or not _differs(seen, snapshot):
        return seen
    with user_transaction(key.user_id):
        row = Conversation.at(key)
        if (row and row.version) != (seen and seen.version):
            return row
        if snapshot.state is not None:
            row = row or Conversation.new(key, updated_at=snapshot.state.updated_at)
            if not row.hides(snapshot.state.created_at):
                row.describe(snapshot.state, _expiry(row, snapshot))
                row.save_but_lease()
        elif row is not None and row.message_count and not _has_unstored_turns(key):
            now = timezone.now()
            row.message_count, row.expires_at = 0, min(row.expires_at or now, now)
            note_expiry(row, "Expired: the store has it no more.")
            row.save(update_fields=["message_count", "expires_at"])
    return row


def _has_unstored_turns(key: ConversationKey) -> bool:
    return Turn.objects.of(key).exclude(state=Turn.State.STORED).exists()


def _differs(row: Conversation | None, snapshot: Snapshot) -> bool:
    state = snapshot.state
    if row is None or state is None:
        return state is not None or (row is not None and row.active and row.message_count > 0)
    return (
        not row.active
        or row.message_count != len(state.messages)
        or row.created_at != state.created_at
        or _expiry_differs(row, snapshot)
    )


def _expiry(row: Conversation, snapshot: Snapshot) -> datetime | None:
    """Return when the document expires, as far as anybody knows: some stores don't tell."""
    if snapshot.expires_at is not None:
        return snapshot.expires_at
    return None if row.has_expired(timezone.now()) else row.expires_at


def _expiry_differs(row: Conversation, snapshot: Snapshot) -> bool:
    expiry = _expiry(row, snapshot)
    if expiry is None or row.expires_at is None:
        return expiry is not row.expires_at
    return abs(expiry - row.expires_at) > EXPIRY_TOLERANCE
