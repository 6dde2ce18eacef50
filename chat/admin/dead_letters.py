"""Dead letters: turns that the store refused for good."""

import json

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from chat.admin.filters import AcceptedFilter
from chat.admin.lists import CHANGE, DELETE, VIEW, ChatList, isolated, when
from chat.admin.pages import ChatPage
from chat.admin.rendering import shown_json, shown_text
from chat.errors import InvalidInput
from chat.models import Conversation, DeadLetter, Turn
from chat.turns import dead_letters
from chat.turns.dead_letters import Content

LIST = "admin:chat_deadletter_changelist"
PAGE = "admin:chat_deadletter_change"


class _LetterPage(ChatPage):
    model = DeadLetter
    converter = "slug"

    def retry(self, content: Content | None, done: str) -> HttpResponse:
        """Put it back, try to store it, and say what came of it."""
        turn = dead_letters.retry(self.found, content, self.deadline)
        if turn is None:
            return self.leave(LIST, messages.WARNING, "It was no dead letter any more.")
        self.record(f"{done} Turn {turn.pk}.")
        if turn.state == Turn.State.DEAD_LETTER:
            words = f"The store refuses it again: {turn.refusal}"
            return self.leave(PAGE, messages.ERROR, words, turn.pk)
        if turn.state == Turn.State.STORED:
            return self.leave(LIST, messages.SUCCESS, "The turn is stored.")
        words = "The turn is back in the queue; it waits for the store."
        return self.leave(LIST, messages.WARNING, words)


class LetterPage(_LetterPage):
    """What the turn says, and why the store refused it."""

    permissions = (VIEW,)
    title = "Dead letter"
    template = "admin/chat/dead_letter.html"
    http_method_names = ["get"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """The page."""
        calls = [
            (str(call["tool"]), shown_json(call["parameters"]), shown_json(call["result"]))
            for call in self.found.tool_calls
        ]
        reply = self.found.reply
        context = {
            "row": Conversation.objects.at(self.key),
            "message": shown_text(self.found.message),
            "reply": None if reply is None else shown_text(reply),
            "calls": calls,
        }
        return self.render(context)


class RetryPage(_LetterPage):
    """Tries it again as it is: a limit may have been raised."""

    permissions = (CHANGE,)
    title = "Retry"
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        """Do it."""
        return self.retry(None, "Retried a dead letter.")


class EditPage(_LetterPage):
    """Puts it back into the queue, edited."""

    permissions = (VIEW, CHANGE)
    title = "Edit and retry"
    template = "admin/chat/edit_letter.html"
    http_method_names = ["get", "post"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """The form."""
        calls = json.dumps(self.found.tool_calls, indent=1, ensure_ascii=False)
        return self._form(self.found.message, self.found.reply or "", calls)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Retry what was typed; or the form again, with it, and what is wrong."""
        message, reply, calls = map(self._typed, ("message", "reply", "tool_calls"))
        try:
            content = dead_letters.read_content(message, reply, calls)
        except InvalidInput as error:
            return self._form(message, reply, calls, error.detail, 400)
        return self.retry(content, "Edited and retried a dead letter.")

    def _typed(self, name: str) -> str:
        # Browsers send each line's end as two characters.
        return self.request.POST.get(name, "").replace("\r\n", "\n")

    def _form(
        self, message: str, reply: str, tool_calls: str, error: str = "", status: int = 200
    ) -> HttpResponse:
        context = {"message": message, "reply": reply, "tool_calls": tool_calls, "error": error}
        return self.render(context, status=status)


class DiscardLetterPage(_LetterPage):
    """Deletes it, after a question."""

    permissions = (DELETE,)
    title = "Discard dead letter?"
    template = "admin/chat/discard_letter.html"
    http_method_names = ["get", "post"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """What would be gone."""
        return self.render({})

    def post(self, request: HttpRequest) -> HttpResponse:
        """Delete it."""
        if not dead_letters.discard(self.found):
            return self.leave(LIST, messages.WARNING, "It was no dead letter any more.")
        self.record(f"Discarded a dead letter. Turn {self.found.pk}.")
        return self.leave(LIST, messages.SUCCESS, "The dead letter is discarded.")


class DeadLetterAdmin(ChatList):
    """Turns that the store refuses for good."""

    pages = [
        LetterPage.at("change/", "change"),
        RetryPage.at("retry/", "retry"),
        EditPage.at("edit/", "edit"),
        DiscardLetterPage.at("discard/", "discard"),
    ]
    list_display = ("shown_turn", "conversation", "user", "accepted", "shown_refusal")
    list_filter = (AcceptedFilter,)
    search_fields = ("user_id", "conversation_id", "refusal")
    search_help_text = "By user, conversation id or refusal."
    ordering = ("-accepted_at", "-id")
    sortable_by = ("accepted",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        """Without what they say."""
        rows: QuerySet[DeadLetter] = super().get_queryset(request)
        return rows.defer("message", "reply", "tool_calls")

    @admin.display(description="turn")
    def shown_turn(self, row: DeadLetter) -> str:
        """Its id."""
        return row.id

    @admin.display(description="conversation")
    def conversation(self, row: DeadLetter) -> SafeString:
        """The conversation's id."""
        return isolated(row.conversation_id)

    @admin.display(description="user")
    def user(self, row: DeadLetter) -> SafeString:
        """Whose it is."""
        return isolated(row.user_id)

    @admin.display(description="accepted", ordering="accepted_at")
    def accepted(self, row: DeadLetter) -> SafeString | None:
        """When it was accepted."""
        return when(row.accepted_at)

    @admin.display(description="refusal")
    def shown_refusal(self, row: DeadLetter) -> SafeString:
        """Why the store refuses it."""
        return isolated(row.refusal)
