"""A conversation that is worked on: its key, index row and document, and the deadline of the work.

A document created at or before the mark of a deletion does not exist, for every reader; its ETag
does, for the writer that replaces it.
"""

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from chat.conversations.state import ConversationKey, ConversationState, new_conversation
from chat.deadline import Deadline
from chat.errors import StoreCorrupt, StoreMissing
from chat.locks import user_locked
from chat.models import Conversation, Quarantine
from chat.models.quarantine import digest_of
from chat.repository import conversation_repository
from common.events.models import Event, record

COPIES_MAX = 10  # in quarantine, of a conversation


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A document as it was read: `state` None without a conversation, `etag` None without a key."""

    state: ConversationState | None
    etag: str | None
    expires_at: datetime | None = None


class OpenConversation:
    """A conversation as it was last seen.

    The index row and the document are read when they are first asked for, the row before the
    document; `forget` lets both be read again.
    """

    def __init__(
        self,
        key: ConversationKey,
        deadline: Deadline,
        row: Conversation | None = None,
        snapshot: Snapshot | None = None,
    ) -> None:
        self.key = key
        self.deadline = deadline
        self.snapshot = snapshot
        self._row = row
        self._row_is_known = row is not None

    @property
    def row(self) -> Conversation | None:
        """The index row, None if there was none when it was first asked for."""
        if not self._row_is_known:
            self._row = Conversation.at(self.key)
            self._row_is_known = True
        return self._row

    def forget(self) -> None:
        """Drop what was read: the conversation may have changed since."""
        self._row_is_known = False
        self.snapshot = None

    def again(self) -> "OpenConversation":
        """Return the same conversation with nothing read yet."""
        return OpenConversation(self.key, self.deadline)

    def read(self) -> Snapshot:
        """Read the document.

        Raises:
            StoreUnavailable, StoreRefused.
            StoreCorrupt: a copy of it is in quarantine now.
        """
        row = self.row
        try:
            stored = conversation_repository().get(self.key, self.deadline.at)
        except StoreMissing:
            self.snapshot = Snapshot(None, None)
            return self.snapshot
        except StoreCorrupt as corrupt:
            keep_copy(self.key, corrupt)
            raise
        if row is not None and row.corrupt:
            Conversation.objects.mark_readable(self.key)
        if row is not None and row.hides(stored.state.created_at):
            self.snapshot = Snapshot(None, stored.etag)
        else:
            self.snapshot = Snapshot(stored.state, stored.etag, stored.expires_at)
        return self.snapshot

    @property
    def state(self) -> ConversationState | None:
        """The document as it was read, None when there was none."""
        return self.snapshot.state if self.snapshot else None

    def state_or_new(self, created_at: datetime) -> ConversationState:
        """Return the document, or an empty one that was created then."""
        return self.state or new_conversation(self.key, created_at)

    def save(self, state: ConversationState) -> None:
        """Store this document in place of the one that was read.

        Raises:
            StoreConflict, StoreUnavailable, StoreRefused.
        """
        etag = self.snapshot.etag if self.snapshot else None
        conversation_repository().save(state, etag, settings.CHAT_STATE_TTL, self.deadline.at)


def expiry_from_now() -> datetime:
    """Return when a document that is saved now expires."""
    return timezone.now() + timedelta(seconds=settings.CHAT_STATE_TTL)


# --- Copies of what can't be read -----------------------------------------------------------------


def keep_copy(key: ConversationKey, corrupt: StoreCorrupt) -> None:
    """Keep a copy in quarantine, one per digest, and mark the index row.

    Of a conversation that was deleted meanwhile nothing is kept; of one whose bytes change again
    and again, the newest copies.

    Raises:
        DatabaseBusy: see user_locked.
    """
    digest = digest_of(corrupt.raw)
    copies = Quarantine.objects.of(key)
    row = Conversation.objects.of(key)
    with user_locked(key.user_id):
        if row.filter(active=False).exists():
            return
        if not copies.filter(digest=digest).update(resolved_at=None):
            Quarantine.objects.create(
                user_id=key.user_id,
                conversation_id=key.conversation_id,
                digest=digest,
                content_base64=base64.b64encode(corrupt.raw).decode(),
                reason=corrupt.reason[:255],
            )
            words = f"What is stored can't be read: {corrupt.reason}."
            about = {"user_id": key.user_id, "conversation_id": key.conversation_id}
            record(Event.Kind.QUARANTINE, Event.Area.CHAT, words, **about)
            newest = copies.order_by("-id").values_list("pk", flat=True)[:COPIES_MAX]
            copies.exclude(pk__in=list(newest)).delete()
        row.filter(corrupt=False).update(corrupt=True)
