"""The index of conversations."""

from datetime import datetime

from django.db import models
from django.utils import timezone

from chat.conversations.state import ConversationKey, ConversationState, reads_as_integer
from chat.models.keyed import GIVEN_KEY, Keyed, KeyedRows
from chat.models.quarantine import Quarantine
from chat.moments import MICROSECOND
from common.database.statements import Parameter, Select, Update

TITLE_MAX_CHARACTERS = 80

# Who holds the lease, or finds the document corrupt, changes these beside whoever saves the row.
_CHANGED_BY_OTHERS = frozenset({"id", "lease_until", "lease_token", "corrupt"})


def title_of(message: str) -> str:
    """Return the title of a conversation that begins with this message."""
    line = " ".join(message.split())
    if len(line) <= TITLE_MAX_CHARACTERS:
        return line
    return line[: TITLE_MAX_CHARACTERS - 1].rstrip() + "…"


class ConversationRows(KeyedRows["Conversation"]):
    """Rows of the index."""

    def mark_readable(self, key: ConversationKey) -> None:
        """Note that the conversation can be read again, in its row and in quarantine."""
        copies = Quarantine.objects.of(key).filter(resolved_at=None)
        copies.update(resolved_at=timezone.now())
        self.of(key).filter(corrupt=True).update(corrupt=False)


class Conversation(Keyed):
    """The index row of a conversation, and the mark of its deletion. Never the truth on content.

    `created_at` is the document's. A document created at or before `deleted_at` counts as deleted,
    whatever the store holds.
    """

    id_is_integer = models.BooleanField(help_text="The JSON type in which clients know its id.")
    title = models.CharField(max_length=TITLE_MAX_CHARACTERS, blank=True)
    title_renamed = models.BooleanField(default=False)
    message_count = models.PositiveIntegerField("messages", default=0)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField("updated", default=timezone.now)
    expires_at = models.DateTimeField("expires", null=True)
    active = models.BooleanField(default=True, help_text="False once deleted, until used again.")
    deleted_at = models.DateTimeField(null=True)
    deletion_pending = models.BooleanField(default=False)
    corrupt = models.BooleanField(default=False)

    # The ids of the tasks that the user was asked about, for the next message to confirm.
    awaiting_confirmation = models.JSONField(default=list, blank=True)

    # Who is storing waiting turns now.
    lease_until = models.DateTimeField(null=True)
    lease_token = models.CharField(max_length=32, blank=True)

    objects = ConversationRows.as_manager()

    class Meta:
        ordering = ("-updated_at", "-id")
        permissions = [("read_conversation", "Can read what was said in conversations")]
        constraints = [
            models.UniqueConstraint(
                fields=["user_id", "conversation_id"], name="chat_one_row_per_conversation"
            )
        ]
        indexes = [
            models.Index(fields=["user_id", "active", "-updated_at", "-id"]),
            models.Index(
                fields=["deletion_pending"],
                condition=models.Q(deletion_pending=True),
                name="chat_deletion_pending",
            ),
            models.Index(fields=["expires_at"]),
            models.Index(
                fields=["id"], condition=models.Q(active=False), name="chat_inactive_by_id"
            ),
            models.Index(fields=["-updated_at", "-id"], name="chat_newest_conversations"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id}:{self.conversation_id}"

    @staticmethod
    def at(key: ConversationKey) -> "Conversation | None":
        """Return the conversation's row as it is now, None without one."""
        return _AT.first(user_id=key.user_id, conversation_id=key.conversation_id)

    @classmethod
    def new(cls, key: ConversationKey, **fields: object) -> "Conversation":
        """Return a row for a conversation that only the store, or nobody, knows (not saved)."""
        return cls(
            user_id=key.user_id,
            conversation_id=key.conversation_id,
            id_is_integer=reads_as_integer(key.conversation_id),
            **fields,
        )

    def take_up(self, message: str, accepted_at: datetime) -> None:
        """Save what a message changes: of a conversation that goes on, little."""
        self.title = self.title or title_of(message)
        self.updated_at = accepted_at
        if self.message_count:
            _GO_ON.run(self)
        else:
            self.save_but_lease()

    def save_but_lease(self, *also: str) -> None:
        """Save the row: all but its lease and `corrupt`, unless that is named in `also`.

        A lease ends by one statement without the user's lock: saving all would bring it back.
        """
        if self.pk is None:
            self.save()
            return
        fields = {field.name for field in self._meta.concrete_fields}
        self.save(update_fields=[*(fields - _CHANGED_BY_OTHERS), *also])

    def blank(self) -> None:
        """Remove all that was said from the row (not saved)."""
        self.active = self.corrupt = self.title_renamed = False
        self.title, self.message_count, self.expires_at = "", 0, None
        self.awaiting_confirmation = []

    def revive(self, now: datetime) -> None:
        """Begin a conversation again that was deleted or has expired (not saved).

        One that has expired keeps the title that its user gave it: the store may have it still.
        """
        if not (self.active and self.title_renamed):
            self.title, self.title_renamed = "", False
        self.active = True
        self.message_count = 0
        self.expires_at = None
        self.created_at = self.after_deletion(now)

    def describe(self, state: ConversationState, expires_at: datetime | None) -> None:
        """Take over what the document says (not saved).

        The row's time never goes back: the next turn's is later than that (chat.turns.accept).
        """
        self.active = True
        self.title = self.title or next(
            (title_of(m.content) for m in state.messages if m.role == "user"), ""
        )
        self.message_count = len(state.messages)
        self.created_at = state.created_at
        self.updated_at = max(self.updated_at, state.updated_at)
        self.expires_at = expires_at

    def has_expired(self, now: datetime) -> bool:
        """Whether the document has expired, by what the index knows."""
        return self.expires_at is not None and self.expires_at <= now

    def after_deletion(self, now: datetime) -> datetime:
        """Return now, or the first moment after the deletion: clocks may step back."""
        return now if self.deleted_at is None else max(now, self.deleted_at + MICROSECOND)

    def hides(self, moment: datetime) -> bool:
        """Whether what was created or accepted then was deleted with the conversation."""
        return self.deleted_at is not None and moment <= self.deleted_at

    @property
    def version(self) -> tuple[object, ...]:
        """Values of which every turn, deletion and purge changes one."""
        return (
            self.active,
            self.message_count,
            self.created_at,
            self.updated_at,
            self.expires_at,
            self.deleted_at,
        )


_AT = Select(
    # There is one at most: an order would only cost.
    lambda: Conversation.objects.of(GIVEN_KEY).order_by()
)
_GO_ON = Update(
    lambda: Conversation.objects.filter(id=Parameter("id")),
    *("updated_at", "title", "awaiting_confirmation"),
)
