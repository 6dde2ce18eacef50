"""Storing what waits in a conversation, now."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from chat.admin.lists import CHANGE
from chat.admin.pages import ChatPage, in_words
from chat.conversations.state import ConversationKey
from chat.deadline import Deadline
from chat.errors import ChatError, StoreConflict, StoreCorrupt, StoreError
from chat.models import Conversation, Turn
from chat.turns.flush import flush
from chat.turns.open_conversation import OpenConversation
from common.database_busy import DatabaseBusy


class ReplayPage(ChatPage):
    """Replays the waiting turns of a conversation."""

    permissions = (CHANGE,)
    title = "Replay waiting turns"
    model = Conversation
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        """Do it, and say what came of it."""
        level, words = replay(self.key, self.deadline)
        self.record(f"Replayed waiting turns. {words}")
        return self.leave("admin:chat_conversation_change", level, words, self.found.pk)


def replay(key: ConversationKey, deadline: Deadline) -> tuple[int, str]:
    """Flush the conversation; return what came of it, for a message."""
    waiting, dead = _waiting(key), _dead(key)
    row = Conversation.objects.at(key)
    has_deletion = row is not None and row.deletion_pending
    if not waiting and not has_deletion:
        return messages.INFO, f"Nothing is waiting to be stored.{_under_way(key)}"
    try:
        done = flush(OpenConversation(key, deadline))
    except (StoreError, DatabaseBusy) as error:
        return messages.ERROR, f"{_why(error)} {_count(_waiting(key))} waiting."
    if not done:
        words = "Another worker is storing them right now, or the store is away."
        return messages.WARNING, f"{words} {_count(_waiting(key))} waiting."
    refused = _dead(key) - dead
    if refused:
        words = f"The store refuses {refused} of {waiting}: see the dead letters."
        return messages.WARNING, words
    stored = "1 turn is stored." if waiting == 1 else f"{waiting} turns are stored."
    deleted = "The deletion is carried out." if has_deletion else ""
    return messages.SUCCESS, " ".join(filter(None, [deleted, stored if waiting else ""]))


def _why(error: ChatError | DatabaseBusy) -> str:
    if isinstance(error, StoreCorrupt):
        return "What is stored can't be read; restore or discard it in quarantine first."
    if isinstance(error, StoreConflict):
        return "Others write to this conversation right now; try again."
    return in_words(error)


def _count(number: int) -> str:
    return "1 turn goes on" if number == 1 else f"{number} turns go on"


def can_replay(key: ConversationKey, row: Conversation) -> bool:
    """Whether there is something to do: turns that wait, or a deletion."""
    return row.deletion_pending or _waiting(key) > 0


def _waiting(key: ConversationKey) -> int:
    return Turn.objects.of(key).waiting().count()


def _dead(key: ConversationKey) -> int:
    return Turn.objects.of(key).dead_letters().count()


def _under_way(key: ConversationKey) -> str:
    number = Turn.objects.of(key).filter(state=Turn.State.ACCEPTED).count()
    if not number:
        return ""
    return f" {number} message{' is' if number == 1 else 's are'} being answered right now."
