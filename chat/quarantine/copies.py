"""Documents that are no conversations: a copy is kept of each, byte for byte.

The store's own bytes stay as they are until an operator restores an edited copy or discards them,
or the user deletes the conversation (chat.quarantine.repair, chat.turns.deletion).
"""

import base64
import hashlib

from django.utils import timezone

from chat.conversations.state import ConversationKey
from chat.errors import StoreCorrupt
from chat.locks import in_line, user_locked
from chat.models import Conversation, Quarantine

COPIES_MAX = 10  # of a conversation


def keep(key: ConversationKey, corrupt: StoreCorrupt) -> None:
    """Keep a copy, one per digest, and mark the index row.

    Of a conversation that was deleted meanwhile nothing is kept; of one whose bytes change again
    and again, the newest copies.

    Raises:
        Unavailable: see user_locked.
    """
    digest = hashlib.sha256(corrupt.raw).hexdigest()
    copies = Quarantine.objects.filter(user_id=key.user_id, conversation_id=key.conversation_id)
    row = Conversation.objects.filter(user_id=key.user_id, conversation_id=key.conversation_id)
    with user_locked(key.user_id):
        if row.filter(active=False).exists():
            return
        if not copies.filter(digest=digest).update(resolved_at=None):
            content = base64.b64encode(corrupt.raw).decode()
            copies.create(
                user_id=key.user_id,
                conversation_id=key.conversation_id,
                digest=digest,
                content_base64=content,
                reason=corrupt.reason[:255],
            )
            newest = copies.order_by("-id").values_list("pk", flat=True)[:COPIES_MAX]
            copies.exclude(pk__in=list(newest)).delete()
        row.filter(corrupt=False).update(corrupt=True)


def resolve(key: ConversationKey) -> None:
    """Note that the conversation is readable again."""
    with in_line():
        Quarantine.objects.filter(
            user_id=key.user_id, conversation_id=key.conversation_id, resolved_at=None
        ).update(resolved_at=timezone.now())
        Conversation.objects.filter(
            user_id=key.user_id, conversation_id=key.conversation_id, corrupt=True
        ).update(corrupt=False)
