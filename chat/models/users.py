"""The users of the chat, and their tasks."""

from datetime import datetime

from django.db import models
from django.utils import timezone

from chat.conversations.state import USER_ID_MAX_CHARACTERS, ConversationKey, reads_as_integer
from chat.models.conversations import Conversation


class ChatUser(models.Model):
    """The counters of a user. The row is the lock that accepting a turn takes."""

    user_id = models.CharField(max_length=USER_ID_MAX_CHARACTERS, primary_key=True)
    last_task_id = models.PositiveBigIntegerField(default=0)
    last_conversation_id = models.PositiveBigIntegerField(default=0)

    # Tokens from before it are refused; those that don't say when they were issued, for a while.
    forgotten_at = models.DateTimeField(null=True)
    undated_refused_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.user_id

    @property
    def event_subject(self) -> dict[str, str]:
        """The fields of an event about the user."""
        return {"user_id": self.user_id}

    @staticmethod
    def refuses(user_id: str, issued_at: datetime | None) -> bool:
        """Whether a token of this user is from before all of the user was removed.

        Args:
            user_id: whom the token names.
            issued_at: the token's `iat`, None where it has none.
        """
        forgotten = ChatUser.objects.filter(pk=user_id)
        if issued_at is None:
            return forgotten.filter(undated_refused_until__gt=timezone.now()).exists()
        return forgotten.filter(forgotten_at__gte=issued_at).exists()

    def refuses_now(self, issued_at: datetime | None, asked_at: datetime) -> bool:
        """Whether `refuses` holds by this row, or the user was removed since the request came.

        Args:
            issued_at: as in `refuses`.
            asked_at: when the request came.
        """
        until = self.undated_refused_until
        if issued_at is None and until is not None and until > timezone.now():
            return True
        since = min(issued_at or asked_at, asked_at)
        return self.forgotten_at is not None and self.forgotten_at >= since

    def next_task_id(self) -> int:
        """Give out the next number for a task. The caller holds the user's lock."""
        self.last_task_id += 1
        self.save(update_fields=["last_task_id"])
        return self.last_task_id

    def next_conversation_id(self, step: int = 1) -> str:
        """Give out the next number for a conversation, `step` on from the last one.

        The caller holds the user's lock. Numbers of which the database has an index row are passed
        over: clients may choose ids that look like ours.
        """
        while True:
            self.last_conversation_id += step
            conversation_id = str(self.last_conversation_id)
            if Conversation.at(ConversationKey(self.user_id, conversation_id)) is None:
                self.save(update_fields=["last_conversation_id"])
                return conversation_id
            step = 1

    def will_not_give_out(self, conversation_id: str) -> bool:
        """Whether no new conversation gets this id, even when its index row is gone."""
        if not reads_as_integer(conversation_id):
            return True
        return int(conversation_id) <= self.last_conversation_id


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
