"""Storing at once what waits in a conversation."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import pluralize

from chat.admin.lists import CHANGE
from chat.admin.pages import ChatPage, in_words
from chat.conversations.state import ConversationKey
from chat.deadline import Deadline
from chat.errors import StoreConflict, StoreCorrupt, StoreError
from chat.models import Conversation, Turn
from chat.turns.flush import flush
from chat.turns.open_conversation import OpenConversation
from common.database.busy import DatabaseBusy


class ReplayPage(ChatPage):
    """Stores a conversation's waiting turns, or carries out its deletion."""

    permissions = (CHANGE,)
    title = "Replay waiting turns"
    model = Conversation

    def post(self, request: HttpRequest) -> HttpResponse:
        level, words = replay(self.key, self.deadline)
        self.record(f"Replayed waiting turns. {words}")
        return self.leave(words, level=level)


def replay(key: ConversationKey, deadline: Deadline) -> tuple[int, str]:
    """Flush the conversation; return the level and the words of a message that says the outcome."""
    waiting, dead = _waiting(key), _count(key, Turn.State.DEAD_LETTER)
    row = Conversation.at(key)
    has_deletion = row is not None and row.deletion_pending
    if not waiting and not has_deletion:
        number = _count(key, Turn.State.ACCEPTED)
        answered = f" {number} message{pluralize(number, ' is,s are')} being answered right now."
        return messages.INFO, "Nothing is waiting to be stored." + (answered if number else "")
    try:
        done = flush(OpenConversation(key, deadline))
    except (StoreError, DatabaseBusy) as error:
        return messages.ERROR, f"{_why(error)} {_still_waiting(key)}"
    if not done:
        words = "Another worker is storing them right now, or the store does not answer."
        return messages.WARNING, f"{words} {_still_waiting(key)}"
    if refused := _count(key, Turn.State.DEAD_LETTER) - dead:
        words = f"The store refuses {refused} of {waiting}: see the dead letters."
        return messages.WARNING, words
    deleted = "The deletion is carried out." if has_deletion else ""
    stored = f"{waiting} turn{pluralize(waiting, ' is,s are')} stored." if waiting else ""
    return messages.SUCCESS, f"{deleted} {stored}".strip()


def can_replay(key: ConversationKey, row: Conversation) -> bool:
    """Whether turns or a deletion wait for the store."""
    return row.deletion_pending or _waiting(key) > 0


def _why(error: StoreError | DatabaseBusy) -> str:
    if isinstance(error, StoreCorrupt):
        return "What is stored can't be read; restore or discard it in quarantine first."
    if isinstance(error, StoreConflict):
        return "Others write to this conversation right now; try again."
    return in_words(error)


def _still_waiting(key: ConversationKey) -> str:
    number = _waiting(key)
    return f"{number} turn{pluralize(number, ' goes,s go')} on waiting."


def _waiting(key: ConversationKey) -> int:
    return Turn.objects.of(key).waiting().count()


def _count(key: ConversationKey, state: Turn.State) -> int:
    return Turn.objects.of(key).filter(state=state).count()
