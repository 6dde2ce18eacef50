"""The lease of a conversation: one worker at a time flushes it or purges it."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.utils import timezone

from chat.conversation import ConversationKey
from chat.locks import user_locked
from chat.models import Conversation
from chat.turns.document import index_row

LEASE_SECONDS = 30


@contextmanager
def leased(key: ConversationKey) -> Iterator[bool]:
    """Hold the conversation's lease; False when somebody else has it, or there is no index row."""
    token = _take(key)
    try:
        yield token is not None
    finally:
        if token is not None:
            Conversation.objects.filter(
                user_id=key.user_id, conversation_id=key.conversation_id, lease_token=token
            ).update(lease_until=None, lease_token="")


def _take(key: ConversationKey) -> str | None:
    token = secrets.token_hex(16)
    now = timezone.now()
    with user_locked(key.user_id):
        row = index_row(key)
        if row is None or (row.lease_until is not None and row.lease_until > now):
            return None
        row.lease_token, row.lease_until = token, now + timedelta(seconds=LEASE_SECONDS)
        row.save(update_fields=["lease_token", "lease_until"])
    return token
