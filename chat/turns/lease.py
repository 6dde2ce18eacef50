"""The lease of a conversation: one worker at a time flushes it or purges it."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.utils import timezone

from chat.conversations.state import ConversationKey
from chat.deadline import Deadline
from chat.locks import WAIT_SECONDS, in_line, user_locked
from chat.models import Conversation
from chat.turns.document import index_row

# After the deadline nothing is asked any more; what came of it is still noted, twice at most.
MARGIN_SECONDS = 2 * WAIT_SECONDS


@contextmanager
def leased(key: ConversationKey, deadline: Deadline) -> Iterator[bool]:
    """Hold the conversation's lease; False when somebody else has it, or there is no index row.

    It outlives the deadline of what is done under it.
    """
    token = _take(key, deadline)
    try:
        yield token is not None
    finally:
        if token is not None:
            with in_line():
                Conversation.objects.filter(
                    user_id=key.user_id, conversation_id=key.conversation_id, lease_token=token
                ).update(lease_until=None, lease_token="")


def _take(key: ConversationKey, deadline: Deadline) -> str | None:
    token = secrets.token_hex(16)
    with user_locked(key.user_id):
        now = timezone.now()
        row = index_row(key)
        if row is None or (row.lease_until is not None and row.lease_until > now):
            return None
        row.lease_token, row.lease_until = token, now + _length(deadline)
        row.save(update_fields=["lease_token", "lease_until"])
    return token


def _length(deadline: Deadline) -> timedelta:
    return timedelta(seconds=deadline.remaining_seconds + MARGIN_SECONDS)
