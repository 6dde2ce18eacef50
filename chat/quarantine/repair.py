"""What an operator does about a corrupt document: restore an edited copy, or discard it.

Either way the turns that were waiting are stored then.
"""

import hashlib

from django.utils import timezone

from chat.conversations.state import ConversationKey, ConversationState, new_conversation
from chat.deadline import Deadline
from chat.errors import (
    InvalidInput,
    StoreConflict,
    StoreCorrupt,
    StoreError,
    StoreMissing,
    StoreUnavailable,
    Unavailable,
)
from chat.locks import in_line
from chat.models import Quarantine, Turn
from chat.quarantine import copies
from chat.repository import conversation_repository
from chat.turns import document
from chat.turns.document import Snapshot
from chat.turns.store import store_waiting
from chat.turns.waiting import put_turns, turns_of


def restore(
    key: ConversationKey, state: ConversationState, deadline: Deadline, digest: str | None = None
) -> bool:
    """Put an edited copy in the corrupt document's place, or where it has expired meanwhile.

    Return whether the turns that were waiting are stored too; if not, they go on waiting.

    Args:
        key: the conversation.
        state: what shall stand there, with the ids of the key.
        deadline: for all of it.
        digest: of the copy that was edited; other corrupt bytes are not overwritten. None: any are.

    Raises:
        InvalidInput: a deletion would hide what is to be restored.
        StoreConflict: what stands there is not corrupt, or was changed meanwhile.
        StoreUnavailable, StoreRefused.
    """
    row = document.index_row(key)
    if document.is_deleted(state, row):
        raise InvalidInput(
            "The conversation was deleted after that, so nobody would see it. "
            "Let created_at be later than the deletion."
        )
    _replace(key, state, _etag_of_corrupt(key, deadline, digest), deadline)
    copies.resolve(key)
    document.repair_index(key, row, Snapshot(state, None, document.expiry_from_now()))
    try:
        store_waiting(key, deadline)
    except (StoreError, Unavailable):
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
    row = document.index_row(key)
    return new_conversation(key, row.created_at if row else timezone.now())


def known_conversation(key: ConversationKey) -> ConversationState:
    """Return what the database still holds of what had been stored: the turns not purged yet."""
    stored = turns_of(key).filter(state=Turn.State.STORED)
    return put_turns(empty_conversation(key), stored, timezone.now())


def drop_copy(copy: Quarantine) -> bool:
    """Delete a copy that is needed no more; False if what it is of has not been resolved."""
    with in_line():
        deleted, _ = Quarantine.objects.filter(pk=copy.pk).exclude(resolved_at=None).delete()
    return bool(deleted)


def _etag_of_corrupt(key: ConversationKey, deadline: Deadline, digest: str | None) -> str | None:
    """Return the ETag of what is to be replaced, None when nothing stands there any more."""
    try:
        conversation_repository().get(key, deadline.at)
    except StoreMissing:
        return None
    except StoreCorrupt as corrupt:
        if digest is not None and hashlib.sha256(corrupt.raw).hexdigest() != digest:
            copies.keep(key, corrupt)
            raise StoreConflict(
                "Other bytes stand there by now; a copy of them is in quarantine, too."
            ) from None
        return corrupt.etag
    raise StoreConflict("What is stored is not corrupt; there is nothing to restore.")


def _replace(
    key: ConversationKey, state: ConversationState, etag: str | None, deadline: Deadline
) -> None:
    """Save; after an answer that proves nothing, see what stands there."""
    try:
        document.save(state, etag, deadline)
    except (StoreConflict, StoreUnavailable):
        try:
            applied = conversation_repository().get(key, deadline.at).state == state
        except StoreError:
            applied = False
        if not applied:
            raise
