"""Documents that are no conversations: a copy is kept of each, byte for byte.

The store's own bytes stay as they are until an operator restores an edited copy or discards them,
or the user deletes the conversation (chat.turns.repair, chat.turns.deletion).
"""

import base64
import hashlib

from django.utils import timezone

from chat.conversation import ConversationKey
from chat.errors import StoreCorrupt
from chat.models import Conversation, Quarantine


def keep(key: ConversationKey, corrupt: StoreCorrupt) -> None:
    """Keep a copy, one per digest, and mark the index row."""
    digest = hashlib.sha256(corrupt.raw).hexdigest()
    copies = Quarantine.objects.filter(
        user_id=key.user_id, conversation_id=key.conversation_id, digest=digest
    )
    if not copies.filter(resolved_at=None).exists() and not copies.update(resolved_at=None):
        Quarantine.objects.bulk_create(
            [
                Quarantine(
                    user_id=key.user_id,
                    conversation_id=key.conversation_id,
                    digest=digest,
                    content_base64=base64.b64encode(corrupt.raw).decode(),
                    reason=corrupt.reason[:255],
                )
            ],
            ignore_conflicts=True,
        )
    Conversation.objects.filter(
        user_id=key.user_id, conversation_id=key.conversation_id, corrupt=False
    ).update(corrupt=True)


def resolve(key: ConversationKey) -> None:
    """Note that the conversation is readable again."""
    Quarantine.objects.filter(
        user_id=key.user_id, conversation_id=key.conversation_id, resolved_at=None
    ).update(resolved_at=timezone.now())
    Conversation.objects.filter(
        user_id=key.user_id, conversation_id=key.conversation_id, corrupt=True
    ).update(corrupt=False)
