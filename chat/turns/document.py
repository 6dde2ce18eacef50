"""The document in the store, as this conversation's index row lets it be seen.

A document created at or before the mark of a deletion is not there, for every reader; its ETag is,
for the writer that replaces it.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from chat.conversations.state import ConversationKey, ConversationState, new_conversation
from chat.deadline import Deadline
from chat.errors import StoreCorrupt, StoreMissing
from chat.locks import user_transaction
from chat.models import Conversation, Turn, title_of
from chat.quarantine import copies
from chat.repository import conversation_repository

EXPIRY_TOLERANCE = timedelta(seconds=5)

# Of an index row; who holds its lease, or finds it corrupt, changes these beside whoever saves it.
_CHANGED_BY_OTHERS = frozenset({"id", "lease_until", "lease_token", "corrupt"})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read: `state` None when there is no conversation, `etag` None when no key."""

    state: ConversationState | None
    etag: str | None
    expires_at: datetime | None = None


def reads_as_integer(conversation_id: str) -> bool:
    """Whether a client that sent an integer may have meant this id."""
    return bool(re.fullmatch("0|[1-9][0-9]{0,15}", conversation_id, re.ASCII)) and (
        int(conversation_id) < 2**53
    )


def index_row(key: ConversationKey) -> Conversation | None:
    """Return the index row as it is now."""
    try:
        return Conversation.objects.get(user_id=key.user_id, conversation_id=key.conversation_id)
    except Conversation.DoesNotExist:
        return None


def save_row(row: Conversation, *also: str) -> None:
    """Save the index row: all but its lease and `corrupt`, unless that is named in `also`."""
    if row.pk is None:
        row.save()
        return
    fields = {field.name for field in Conversation._meta.concrete_fields}
    row.save(update_fields=[*(fields - _CHANGED_BY_OTHERS), *also])


def blank(row: Conversation) -> None:
    """Let the index row hold nothing of what was said (not saved)."""
    row.active = row.corrupt = row.title_renamed = False
    row.title, row.message_count, row.expires_at = "", 0, None
    row.awaiting_confirmation = []


def read(key: ConversationKey, row: Conversation | None, deadline: Deadline) -> Snapshot:
    """Read the document.

    Raises:
        StoreUnavailable, StoreRefused.
        StoreCorrupt: a copy of it is in quarantine now.
    """
    try:
        stored = conversation_repository().get(key, deadline.at)
    except StoreMissing:
        return Snapshot(None, None)
    except StoreCorrupt as corrupt:
        copies.keep(key, corrupt)
        raise
    if row is not None and row.corrupt:
        copies.resolve(key)
    if is_deleted(stored.state, row):
        return Snapshot(None, stored.etag)
    return Snapshot(stored.state, stored.etag, stored.expires_at)


def is_deleted(state: ConversationState, row: Conversation | None) -> bool:
    """Whether the document is from before the conversation's deletion."""
    return row is not None and row.deleted_at is not None and state.created_at <= row.deleted_at


def is_turn_deleted(turn: Turn, row: Conversation | None) -> bool:
    """Whether the turn, whose own row is gone, was deleted with its conversation.

    Else it was stored, and pruned since. A turn is accepted after the deletions before it, and the
    mark of a deletion is no earlier than the turns that it takes along.
    """
    if row is None or not row.active:
        return True
    return row.deleted_at is not None and turn.accepted_at <= row.deleted_at


def base_of(snapshot: Snapshot, key: ConversationKey, row: Conversation) -> ConversationState:
    """Return the conversation to put turns into: what is there, or a new one."""
    return snapshot.state or new_conversation(key, row.created_at)


def save(state: ConversationState, etag: str | None, deadline: Deadline) -> None:
    """Store the document under the conversations' time to live.

    Raises:
        StoreConflict, StoreUnavailable, StoreRefused.
    """
    conversation_repository().save(state, etag, settings.CHAT_STATE_TTL, deadline.at)


def describe(row: Conversation, state: ConversationState, expires_at: datetime | None) -> None:
    """Let the index row say what the document says (not saved).

    Its time never goes back: the next turn's is later than that (chat.turns.accept).
    """
    row.active = True
    row.title = row.title or next(
        (title_of(m.content) for m in state.messages if m.role == "user"), ""
    )
    row.message_count = len(state.messages)
    row.created_at = state.created_at
    row.updated_at = max(row.updated_at, state.updated_at)
    row.expires_at = expires_at


def expiry_from_now() -> datetime:
    """When a document that is saved now expires."""
    return timezone.now() + timedelta(seconds=settings.CHAT_STATE_TTL)


def repair_index(
    key: ConversationKey, seen: Conversation | None, snapshot: Snapshot
) -> Conversation | None:
    """Make the index row say what the store says, where they differ; return it.

    A conversation that is not in the store, and has no turns waiting, has expired.

    Args:
        key: the conversation.
        seen: the row as it was before the document was read. One that was changed since is left
            alone: the document may have been, too.
        snapshot: what was read.
    """
    if not _differs(seen, snapshot):
        return seen
    with user_transaction(key.user_id):
        row = index_row(key)
        if _version(row) != _version(seen):
            return row
        if snapshot.state is not None:
            row = row or Conversation(
                user_id=key.user_id,
                conversation_id=key.conversation_id,
                id_is_integer=reads_as_integer(key.conversation_id),
                updated_at=snapshot.state.updated_at,
            )
            if is_deleted(snapshot.state, row):
                return row
            describe(row, snapshot.state, _expiry(row, snapshot))
            save_row(row)
        elif row is not None and row.message_count and not _has_unstored_turns(key):
            row.message_count, row.expires_at = 0, timezone.now()
            row.save(update_fields=["message_count", "expires_at"])
    return row


def _version(row: Conversation | None) -> tuple[object, ...] | None:
    """What every turn, deletion and purge changes something of."""
    if row is None:
        return None
    return (
        row.active,
        row.message_count,
        row.created_at,
        row.updated_at,
        row.expires_at,
        row.deleted_at,
    )


def _has_unstored_turns(key: ConversationKey) -> bool:
    turns = Turn.objects.filter(user_id=key.user_id, conversation_id=key.conversation_id)
    return turns.exclude(state=Turn.State.STORED).exists()


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
    """When the document expires, as far as anybody knows: some stores don't tell."""
    if snapshot.expires_at is not None:
        return snapshot.expires_at
    return row.expires_at if row.expires_at and row.expires_at > timezone.now() else None


def _expiry_differs(row: Conversation, snapshot: Snapshot) -> bool:
    expiry = _expiry(row, snapshot)
    if expiry is None or row.expires_at is None:
        return expiry is not row.expires_at
    return abs(expiry - row.expires_at) > EXPIRY_TOLERANCE
