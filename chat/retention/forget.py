"""Removing all of a user: what somebody who left has said, and what opens the way back to it.

First, in one transaction under the user's lock: tokens from before are refused, and the user's
turns (with the answers to repeated requests), tasks and copies in quarantine go. A turn in flight
finds its row gone then, and ends. Afterwards each conversation is deleted as its user would, so
what the store can't delete now waits there like any deletion (chat.turns.deletion).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.template.defaultfilters import pluralize
from django.utils import timezone

from chat.conversations.state import ConversationKey
from chat.deadline import Deadline
from chat.errors import NotFound
from chat.locks import user_transaction
from chat.models import ChatUser, Conversation, Quarantine, Task, Turn
from chat.turns.deletion import delete_conversation
from common.events.models import Event

UNDATED_HOURS = 24


@dataclass(frozen=True, slots=True)
class Belongings:
    """How much of a user there is."""

    conversations: int
    turns: int
    tasks: int
    copies: int


def belongings(user_id: str) -> Belongings:
    """Return how much of a user there is.

    Raises:
        NotFound: nobody has this name, or all was removed already.
    """
    found = Belongings(
        conversations=_conversations(user_id).count(),
        turns=Turn.objects.filter(user_id=user_id).count(),
        tasks=Task.objects.filter(user_id=user_id).count(),
        copies=Quarantine.objects.filter(user_id=user_id).count(),
    )
    row = ChatUser.objects.filter(pk=user_id).first()
    # Whoever has logged in and never written has tokens and no row.
    accounts = get_user_model()._default_manager.filter(username=user_id)
    is_known = row.forgotten_at is None if row else accounts.exists()
    if found == Belongings(0, 0, 0, 0) and not is_known:
        raise NotFound("There is no such chat user.")
    return found


def forget(
    user_id: str,
    undated_hours: int = UNDATED_HOURS,
    on_each: Callable[[int], None] = lambda done: None,
) -> tuple[Belongings, int]:
    """Remove all of a user, and refuse the tokens issued until now.

    Return what there was, and how many deletions wait for the conversation store.

    Args:
        user_id: whose.
        undated_hours: how long tokens that don't say when they were issued are refused.
        on_each: called after each conversation, with how many are done.

    Raises:
        NotFound: nobody has this name.
        DatabaseBusy: see user_transaction; a second call goes on.
    """
    found = belongings(user_id)  # before the transaction, which makes a row for any name
    with user_transaction(user_id) as user:
        user.forgotten_at = timezone.now()
        user.undated_refused_until = user.forgotten_at + timedelta(hours=undated_hours)
        user.save(update_fields=["forgotten_at", "undated_refused_until"])
        conversations = list(_conversations(user_id).values_list("conversation_id", flat=True))
        for rows in (Turn.objects, Task.objects, Quarantine.objects):
            rows.filter(user_id=user_id).delete()
        # What operators did stays: removing a user must not hide who had read the chats.
        theirs = Event.objects.filter(user_id=user_id)
        theirs.exclude(kind__in=(Event.Kind.READ, Event.Kind.CHANGE)).delete()
    waiting = 0
    for done, conversation_id in enumerate(conversations, 1):
        key = ConversationKey(user_id, conversation_id)
        waiting += not delete_conversation(key, Deadline(settings.CHAT_TURN_SECONDS))
        on_each(done)
    return found, waiting


def in_words(found: Belongings) -> str:
    """Return how much of a user there is, as "2 conversations, 1 turn, …"."""
    return (
        f"{found.conversations} conversation{pluralize(found.conversations)}, "
        f"{found.turns} turn{pluralize(found.turns)}, "
        f"{found.tasks} task{pluralize(found.tasks)}, "
        f"{found.copies} quarantined cop{pluralize(found.copies, 'y,ies')}"
    )


def _conversations(user_id: str) -> QuerySet[Conversation]:
    """Return the index rows of conversations that are not deleted yet, in the store too."""
    undeleted = Q(active=True) | Q(deletion_pending=True)
    return Conversation.objects.filter(undeleted, user_id=user_id).order_by("id")
