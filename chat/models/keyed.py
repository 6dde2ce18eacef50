"""What all tables about conversations share: the two columns that say which one it is."""

from types import SimpleNamespace
from typing import Any, Self, TypeVar

from django.db import models

from chat.conversations.state import USER_ID_MAX_CHARACTERS, ConversationKey
from common.database.statements import Parameter

CONVERSATION_ID_MAX_CHARACTERS = 50

# The key that a compiled statement is given.
GIVEN_KEY: Any = SimpleNamespace(
    user_id=Parameter("user_id"), conversation_id=Parameter("conversation_id")
)

Row_co = TypeVar("Row_co", bound="Keyed", covariant=True)


class KeyedRows(models.QuerySet[Row_co]):
    """Rows of a table about conversations."""

    def of(self, key: ConversationKey) -> Self:
        """Return those of this conversation."""
        return self.filter(user_id=key.user_id, conversation_id=key.conversation_id)


class Keyed(models.Model):
    """A row about a conversation. No foreign keys: index rows and turns outlive each other."""

    user_id = models.CharField(max_length=USER_ID_MAX_CHARACTERS)
    conversation_id = models.CharField(max_length=CONVERSATION_ID_MAX_CHARACTERS)

    class Meta:
        abstract = True

    @property
    def event_subject(self) -> dict[str, str]:
        """The fields of an event about its conversation."""
        return {"user_id": self.user_id, "conversation_id": self.conversation_id}

    @property
    def key(self) -> ConversationKey:
        """The key under which its conversation is stored."""
        return ConversationKey(self.user_id, self.conversation_id)
