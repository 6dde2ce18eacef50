"""Turns, the index of conversations, tasks, and what was set aside.

User ids are text, whoever issued them: the users of another issuer have no row in auth_user.
"""

from typing import ClassVar

from django.db import models
from django.utils import timezone

USER_ID_MAX_CHARACTERS = 255
CONVERSATION_ID_MAX_CHARACTERS = 50
TITLE_MAX_CHARACTERS = 80


def title_of(message: str) -> str:
    """Return the title of a conversation that begins with this message."""
    line = " ".join(message.split())
    if len(line) <= TITLE_MAX_CHARACTERS:
        return line
    return line[: TITLE_MAX_CHARACTERS - 1].rstrip() + "…"


class ChatUser(models.Model):
    """The counters of a user. Its row is the lock that accepting a turn takes."""

    user_id = models.CharField(max_length=USER_ID_MAX_CHARACTERS, primary_key=True)
    last_task_id = models.PositiveBigIntegerField(default=0)
    last_conversation_id = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return self.user_id


class Conversation(models.Model):
    """The index row of a conversation, and the mark of its deletion. Never the truth on content.

    `created_at` is the document's. A document created at or before `deleted_at` is not there,
    whatever the store holds.
    """

    user_id = models.CharField(max_length=USER_ID_MAX_CHARACTERS)
    conversation_id = models.CharField(max_length=CONVERSATION_ID_MAX_CHARACTERS)
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

    class Meta:
        ordering = ("-updated_at", "-id")
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
            models.Index(fields=["-updated_at", "-id"], name="chat_newest_conversations"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id}:{self.conversation_id}"


class Turn(models.Model):
    """A message and what came of it: write-ahead log, outbox, idempotency record, tool journal.

    Ids sort in the order in which the turns of a conversation were accepted.
    """

    class State(models.TextChoices):
        ACCEPTED = "accepted"  # being answered while the lease lives; afterwards to be stored
        ANSWERED = "answered"  # to be stored
        FAILED = "failed"  # no reply (`failure` says why); to be stored
        STORED = "stored"
        DEAD_LETTER = "dead letter"  # the store refuses its content for good

    id = models.CharField(max_length=32, primary_key=True)
    user_id = models.CharField(max_length=USER_ID_MAX_CHARACTERS)
    conversation_id = models.CharField(max_length=CONVERSATION_ID_MAX_CHARACTERS)
    id_is_integer = models.BooleanField()
    accepted_at = models.DateTimeField("accepted")
    message = models.TextField()
    confirmed_deletes = models.JSONField(default=list, blank=True)
    tool_calls = models.JSONField(default=list, blank=True)
    reply = models.TextField(null=True)
    answered_at = models.DateTimeField(null=True)
    stored_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=12, choices=State.choices, default=State.ACCEPTED)
    failure = models.CharField(max_length=32, blank=True)
    degraded = models.BooleanField(default=False)
    refusal = models.CharField(max_length=255, blank=True)

    lease_until = models.DateTimeField(null=True)
    lease_token = models.CharField(max_length=32, blank=True)

    idempotency_key = models.CharField(max_length=255, null=True)
    body_digest = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(
                fields=["user_id", "idempotency_key"], name="chat_one_turn_per_idempotency_key"
            )
        ]
        indexes = [
            models.Index(fields=["user_id", "conversation_id", "id"]),
            models.Index(fields=["state", "accepted_at"]),
            models.Index(fields=["user_id", "state", "lease_until"]),
        ]

    def __str__(self) -> str:
        return self.id


class DeadLetterManager(models.Manager["DeadLetter"]):
    """Those alone."""

    def get_queryset(self) -> models.QuerySet["DeadLetter"]:
        """Turns that the store refused for good."""
        return super().get_queryset().filter(state=Turn.State.DEAD_LETTER)


class DeadLetter(Turn):
    """A turn that the store refuses for good."""

    objects: ClassVar[DeadLetterManager] = DeadLetterManager()

    class Meta:
        proxy = True
        ordering = ("-accepted_at", "-id")
        default_permissions = ()  # the permissions on conversations hold
        verbose_name = "dead letter"


class Task(models.Model):
    """A task of a user. Its number is never given out again."""

    user_id = models.CharField(max_length=USER_ID_MAX_CHARACTERS)
    number = models.PositiveBigIntegerField()
    title = models.CharField(max_length=200)
    description = models.CharField(max_length=1000, blank=True)
    completed = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("user_id", "number")
        constraints = [
            models.UniqueConstraint(fields=["user_id", "number"], name="chat_one_task_per_number")
        ]

    def __str__(self) -> str:
        return f"{self.number}. {self.title}"


class Quarantine(models.Model):
    """The bytes of a document that is no conversation, as they were found."""

    user_id = models.CharField(max_length=USER_ID_MAX_CHARACTERS)
    conversation_id = models.CharField(max_length=CONVERSATION_ID_MAX_CHARACTERS)
    digest = models.CharField(max_length=64)
    content_base64 = models.TextField()
    reason = models.CharField(max_length=255)
    found_at = models.DateTimeField("found", default=timezone.now)
    resolved_at = models.DateTimeField("resolved", null=True)

    class Meta:
        ordering = ("-found_at", "-id")
        constraints = [
            models.UniqueConstraint(
                fields=["user_id", "conversation_id", "digest"], name="chat_one_copy_per_digest"
            )
        ]
        default_permissions = ()  # the permissions on conversations hold
        verbose_name = "quarantined state"

    def __str__(self) -> str:
        return f"{self.user_id}:{self.conversation_id} {self.digest[:12]}"
