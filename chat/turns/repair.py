"""What an operator does about a corrupt document: restore an edited copy, or discard it.

Either way the turns that were waiting are stored then.
"""

from django.utils import timezone

from chat import quarantine
from chat.conversation import ConversationKey, ConversationState, new_conversation
from chat.deadline import Deadline
from chat.errors import StoreConflict, StoreCorrupt
from chat.repository import conversation_repository
from chat.turns import document
from chat.turns.store import store_waiting


def restore(key: ConversationKey, state: ConversationState, deadline: Deadline) -> None:
    """Put an edited copy in the corrupt document's place.

    Args:
        key: the conversation.
        state: what shall stand there, with the ids of the key.
        deadline: for all of it.

    Raises:
        StoreConflict: what stands there is not corrupt, or was changed meanwhile.
        StoreUnavailable, StoreRefused.
    """
    try:
        conversation_repository().get(key, deadline.at)
    except StoreCorrupt as corrupt:
        document.save(state, corrupt.etag, deadline)
    else:
        raise StoreConflict("What is stored is not corrupt; there is nothing to restore.")
    quarantine.resolve(key)
    store_waiting(key, deadline)


def discard(key: ConversationKey, deadline: Deadline) -> None:
    """Put an empty conversation in the corrupt document's place. The copy in quarantine stays.

    Raises:
        StoreConflict, StoreUnavailable: as restore does.
    """
    row = document.index_row(key)
    restore(key, new_conversation(key, row.created_at if row else timezone.now()), deadline)
