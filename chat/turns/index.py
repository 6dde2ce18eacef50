"""The index of conversations: listing and titles. It holds no content but the title."""

import base64
import re
from datetime import datetime

from django.db.models import Q
from django.utils import timezone

from chat.conversations.state import ConversationKey
from chat.errors import InvalidInput
from chat.locks import user_transaction
from chat.models import Conversation
from chat.moments import microseconds, moment_of
from chat.turns.document import index_row

_CURSOR = re.compile(r"([0-9]{1,17})\.([0-9]{1,18})", re.ASCII)


def list_page(
    user_id: str, limit: int, cursor: str | None
) -> tuple[list[Conversation], str | None]:
    """Return a page of the user's conversations, newest first, and the next one's cursor.

    None as the cursor: there are no more.

    Raises:
        InvalidInput: the cursor is none of ours.
    """
    rows = Conversation.objects.filter(user_id=user_id, active=True)
    rows = rows.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
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
    """Give the conversation a title that no message overwrites; None if there is none."""
    with user_transaction(key.user_id):
        row = index_row(key)
        if row is None or not row.active:
            return None
        row.title, row.title_renamed = title, True
        row.save(update_fields=["title", "title_renamed"])
    return row
