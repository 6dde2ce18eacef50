"""Dead letters: the list of turns that the store refused for good, and the pages of one."""

import json
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.formats import date_format

from chat.admin.filters import AcceptedFilter
from chat.admin.lists import CHANGE, DELETE, READ, VIEW, ChatList, isolated
from chat.admin.pages import ChatPage
from chat.admin.rendering import shown_json, shown_text
from chat.errors import InvalidInput
from chat.models import Conversation, DeadLetter, Turn
from chat.repair import dead_letters
from chat.repair.dead_letters import Content
from common.admin.lists import column, when
from common.admin.pages import ConfirmationPage
from common.visible import visible_name

ALREADY_GONE = "This turn is not a dead letter any more."


class _LetterPage(ChatPage):
    model = DeadLetter
    permission_of_object = READ
    converter = "slug"

    def retry(self, content: Content | None, done: str) -> HttpResponse:
        """Put the turn back into the queue, try to store it, and say what happened."""
        turn = dead_letters.retry(self.object, content, self.deadline)
        if turn is None:
            return self.leave(ALREADY_GONE, self.list_url, messages.WARNING)
        self.record(f"{done} Turn {turn.pk}.")
        if turn.state == Turn.State.DEAD_LETTER:
            why = f": {turn.refusal}" if self.may_read else "."
            return self.leave(f"The store refuses it again{why}", level=messages.ERROR)
        if turn.state == Turn.State.STORED:
            return self.leave("The turn is stored.", self.list_url)
        words = "The turn is back in the queue; it waits for the store."
        return self.leave(words, self.list_url, messages.WARNING)


class LetterPage(_LetterPage):
    """The content of the turn, and why the store refused it."""

    permissions = (VIEW, READ)
    title = "Dead letter"
    template = "admin/chat/dead_letter.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        calls = [
            (str(call["tool"]), shown_json(call["parameters"]), shown_json(call["result"]))
            for call in self.object.tool_calls
        ]
        reply = self.object.reply
        context = {
            "row": Conversation.at(self.key),
            "message": shown_text(self.object.message),
            "reply": None if reply is None else shown_text(reply),
            "calls": calls,
        }
        return self.render(context)


class RetryPage(_LetterPage):
    """Tries to store the turn as it is: a limit may have been raised."""

    permissions = (CHANGE,)
    title = "Retry"

    def post(self, request: HttpRequest) -> HttpResponse:
        return self.retry(None, "Retried a dead letter.")


class EditPage(_LetterPage):
    """Edits the turn, and puts it back into the queue."""

    permissions = (VIEW, READ, CHANGE)
    title = "Edit and retry"
    template = "admin/chat/edit_letter.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        calls = json.dumps(self.object.tool_calls, indent=1, ensure_ascii=False)
        typed = {"message": self.object.message, "reply": self.object.reply or ""}
        return self.render({**typed, "tool_calls": calls})

    def post(self, request: HttpRequest) -> HttpResponse:
        # Browsers send each line's end as two characters.
        typed = {
            name: request.POST.get(name, "").replace("\r\n", "\n")
            for name in ("message", "reply", "tool_calls")
        }
        try:
            content = dead_letters.read_content(**typed)
        except InvalidInput as error:
            return self.render({**typed, "error": error.detail}, status=400)
        return self.retry(content, "Edited and retried a dead letter.")


class DiscardLetterPage(ConfirmationPage, _LetterPage):
    """Deletes the turn."""

    permissions = (DELETE,)
    title = "Discard dead letter?"
    button = "Discard the dead letter"

    def question(self) -> dict[str, Any]:
        words = (
            "The message of “{}”, accepted {}, its reply and its tool calls will be gone for good "
            "and will never be part of the conversation. The changes that the tools have made stay."
        )
        user, accepted = visible_name(self.object.user_id), self.object.accepted_at
        return {"words": words.format(user, date_format(accepted, "DATETIME_FORMAT"))}

    def post(self, request: HttpRequest) -> HttpResponse:
        if not dead_letters.discard(self.object):
            return self.leave(ALREADY_GONE, self.list_url, messages.WARNING)
        self.record(f"Discarded a dead letter. Turn {self.object.pk}.")
        return self.leave("The dead letter is discarded.", self.list_url)


class DeadLetterAdmin(ChatList):
    """The list of dead letters."""

    pages = [
        LetterPage.at("change/", "chat_deadletter_change"),
        RetryPage.at("retry/", "chat_deadletter_retry"),
        EditPage.at("edit/", "chat_deadletter_edit"),
        DiscardLetterPage.at("discard/", "chat_deadletter_discard"),
    ]
    empty_text = (
        "There are no dead letters. A turn that the conversation store refuses for good would be "
        "listed here."
    )
    list_display = ("shown_turn", "conversation", "user", "accepted", "shown_refusal")
    list_filter = (AcceptedFilter,)
    search_fields = ("user_id", "conversation_id", "refusal")
    # A store may quote what it refuses.
    said_columns = frozenset({"shown_refusal"})
    said_fields = frozenset({"refusal"})
    search_help_text = "By user, conversation id or refusal."
    ordering = ("-accepted_at", "-id")
    sortable_by = ("accepted",)

    shown_turn = column(str, "id", "turn")
    accepted = column(when, "accepted_at", "accepted")
    shown_refusal = column(isolated, "refusal", "refusal")

    def get_list_display_links(self, request: HttpRequest, list_display: Any) -> Any:
        return (
            super().get_list_display_links(request, list_display)
            if request.user.has_perm(READ)
            else None
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        rows: QuerySet[DeadLetter] = super().get_queryset(request)
        return rows.defer("message", "reply", "tool_calls")  # long, and not listed
