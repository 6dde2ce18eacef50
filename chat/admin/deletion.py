"""Deleting conversations, one or a selection."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import pluralize

from chat.admin.lists import DELETE
from chat.admin.pages import ACTION_SECONDS, ChatPage
from chat.conversations.state import ConversationKey
from chat.deadline import Deadline
from chat.models import Conversation, Quarantine, Turn
from chat.turns.deletion import delete_conversation
from common.admin.pages import ConfirmationPage, log_action
from common.database.busy import DatabaseBusy


class DeletePage(ConfirmationPage, ChatPage):
    """Deletes a conversation as its user does, in the store too."""

    permissions = (DELETE,)
    title = "Delete conversation?"
    template = "admin/chat/delete_conversation.html"
    button = "Delete the conversation"
    model = Conversation

    def question(self) -> dict[str, Any]:
        copies = Quarantine.objects.of(self.key)
        return {"turns": Turn.objects.of(self.key).count(), "copies": copies.count()}

    def post(self, request: HttpRequest) -> HttpResponse:
        level, words = delete_all(request, [self.object])
        return self.leave(words, self.list_url, level)


def delete_all(request: HttpRequest, rows: list[Conversation]) -> tuple[int, str]:
    """Delete conversations, each recorded in the history.

    Return the level and the words of a message that says the outcome. Their users see none of them
    any more, even where the store does not answer. A database that is too busy ends it early.
    """
    deadline = Deadline(ACTION_SECONDS)
    deleted = left = 0
    for row in rows:
        key = ConversationKey(row.user_id, row.conversation_id)
        try:
            left += not delete_conversation(key, deadline)
        except DatabaseBusy as error:
            return messages.ERROR, f"{_are(deleted)} deleted, then: {error.detail}"
        deleted += 1
        log_action(request, row, "Deleted the conversation.")
    if not left:
        return messages.SUCCESS, f"{_are(deleted)} deleted."
    which = "it" if deleted == 1 else f"{left} of them"
    return messages.WARNING, (
        f"{_are(deleted)} deleted. The conversation store does not answer: what it holds of "
        f"{which} is deleted later, by flush_pending_turns or the next message."
    )


def _are(number: int) -> str:
    return f"{number} conversation{pluralize(number, ' is,s are')}"
