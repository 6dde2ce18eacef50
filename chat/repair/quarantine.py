"""Repairs of a document that can't be read: operators restore an edited copy, or discard it.

Whoever reads such a document keeps a copy of its bytes (chat.turns.open_conversation) and leaves
the store's as they are. After a repair the turns that were waiting are stored.
"""

from dataclasses import replace

from django.utils import timezone

from chat.conversations.salvage import Salvaged, salvage
from chat.conversations.state import ConversationKey, ConversationState, new_conversation
from chat.deadline import Deadline
from chat.errors import (
    InvalidInput,
    StoreConflict,
    StoreCorrupt,
    StoreError,
    StoreMissing,
    StoreUnavailable,
)
from chat.models import Conversation, Quarantine, Turn
from chat.models.quarantine import digest_of
from chat.models.turns import put_turns
from chat.repository import conversation_repository
from chat.turns import index
from chat.turns.open_conversation import (
    OpenConversation,
    Snapshot,
    expiry_from_now,
    keep_copy,
)
from chat.turns.store import store_waiting
from common.database.busy import DatabaseBusy


def restore(
    key: ConversationKey, state: ConversationState, deadline: Deadline, digest: str | None = None
) -> bool:
    """Put an edited copy in the corrupt document's place, or where it has expired meanwhile.

    Return whether the turns that were waiting are stored too; if not, they go on waiting.

    Args:
        key: the conversation.
        state: the document to store, with the ids of the key.
        deadline: for all of it.
        digest: of the copy that was edited; other corrupt bytes are not overwritten. None: any are.

    Raises:
        InvalidInput: a deletion would hide what is to be restored.
        StoreConflict: the stored document is not corrupt, or was changed meanwhile.
        StoreUnavailable, StoreRefused.
    """
    conversation = OpenConversation(key, deadline)
    if conversation.row is not None and conversation.row.hides(state.created_at):
        raise InvalidInput(
            "The conversation was deleted after that, so nobody would see it. "
            "Let created_at be later than the deletion."
        )
    conversation.snapshot = Snapshot(None, _etag_of_corrupt(key, deadline, digest))
    _save(conversation, state)
    Conversation.objects.mark_readable(key)
    conversation.snapshot = Snapshot(state, None, expiry_from_now())
    index.repair(conversation)
    try:
        store_waiting(conversation.again())
    except (StoreError, DatabaseBusy):
        return False
    return True


def discard(key: ConversationKey, deadline: Deadline, digest: str | None = None) -> bool:
    """Put an empty conversation in the corrupt document's place. The copy in quarantine stays.

    Return whether the waiting turns are stored too.

    Raises:
        StoreConflict, StoreUnavailable: as restore does.
    """
    return restore(key, empty_conversation(key), deadline, digest)


def empty_conversation(key: ConversationKey) -> ConversationState:
    """Return what a corrupt document can be replaced by when nothing of it can be saved."""
    row = Conversation.at(key)
    return new_conversation(key, row.created_at if row else timezone.now())


def known_conversation(key: ConversationKey) -> ConversationState:
    """Return what the database still holds of what had been stored: the turns not pruned yet."""
    stored = Turn.objects.of(key).filter(state=Turn.State.STORED)
    return put_turns(empty_conversation(key), stored, timezone.now())


def salvaged_conversation(key: ConversationKey, raw: bytes) -> Salvaged:
    """Return what can be read of a copy, together with the turns that the database still holds.

    Raises:
        InvalidConversation: as salvage.
    """
    found = salvage(raw, empty_conversation(key), key)
    stored = Turn.objects.of(key).filter(state=Turn.State.STORED)
    return replace(found, state=put_turns(found.state, stored, timezone.now()))


def drop_copy(copy: Quarantine) -> bool:
    """Delete a copy; return False if the document that it is of has not been repaired."""
    deleted, _ = Quarantine.objects.filter(pk=copy.pk).exclude(resolved_at=None).delete()
    return bool(deleted)


def _etag_of_corrupt(key: ConversationKey, deadline: Deadline, digest: str | None) -> str | None:
    """Return the ETag of what is to be replaced, None when nothing is stored any more."""
    try:
        conversation_repository().get(key, deadline.at)
    except StoreMissing:
        return None
    except StoreCorrupt as corrupt:
        if digest is not None and digest_of(corrupt.raw) != digest:
            keep_copy(key, corrupt)
            raise StoreConflict(
                "Other bytes stand there by now; a copy of them is in quarantine, too."
            ) from None
        return corrupt.etag
    raise StoreConflict("What is stored is not corrupt; there is nothing to restore.")


def _save(conversation: OpenConversation, state: ConversationState) -> None:
    try:
        conversation.save(state)
    except (StoreConflict, StoreUnavailable):
        # Neither proves that it was not applied.
        at = conversation.deadline.at
        try:
            applied = conversation_repository().get(conversation.key, at).state == state
        except StoreError:
            applied = False
        if not applied:
            raise
