"""Deleting conversations, one or a selection."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from chat.admin.lists import DELETE
from chat.admin.pages import ACTION_SECONDS, ChatPage, enter
from chat.deadline import Deadline
from chat.models import Conversation, Quarantine, Turn
from chat.turns.deletion import delete_conversation
from common.database_busy import DatabaseBusy

LATER = (
    "The conversation store is away: what it holds of {} is deleted later, "
    "by flush_pending_turns or the next message."
)


class DeletePage(ChatPage):
    """Deletes a conversation, after a question."""

    permissions = (DELETE,)
    title = "Delete conversation?"
    template = "admin/chat/delete_conversation.html"
    model = Conversation
    http_method_names = ["get", "post"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """What would be gone; not what it says."""
        return self.render(
            {
                "turns": Turn.objects.of(self.key).count(),
                "copies": Quarantine.objects.of(self.key).count(),
            }
        )

    def post(self, request: HttpRequest) -> HttpResponse:
        """Delete it."""
        level, words = delete_all(request, [self.found])
        return self.leave("admin:chat_conversation_changelist", level, words)


def delete_all(request: HttpRequest, rows: list[Conversation]) -> tuple[int, str]:
    """Delete them, each entered into the history; return what came of it, for a message.

    Whatever the store takes, they are deleted for their users when this returns. A database that
    is too busy ends it.
    """
    deadline = Deadline(ACTION_SECONDS)
    deleted = left = 0
    for row in rows:
        try:
            left += not delete_conversation(row.key, deadline)
        except DatabaseBusy as error:
            return messages.ERROR, f"{_count(deleted)} deleted, then: {error.detail}"
        deleted += 1
        enter(request, row, "Deleted the conversation.")
    if left:
        which = "it" if deleted == 1 else f"{left} of them"
        return messages.WARNING, f"{_count(deleted)} deleted. {LATER.format(which)}"
    return messages.SUCCESS, f"{_count(deleted)} deleted."


def _count(number: int) -> str:
    return "1 conversation is" if number == 1 else f"{number} conversations are"
