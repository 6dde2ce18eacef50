"""The list of conversations."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import pluralize
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from chat.admin.deletion import DeletePage, delete_all
from chat.admin.filters import (
    ExpiryFilter,
    StateFilter,
    UpdatedBetween,
    UpdatedFilter,
    WaitingFilter,
)
from chat.admin.forgetting import forget_page
from chat.admin.lists import DELETE, ChatList, ChatRows, isolated
from chat.admin.replay import ReplayPage
from chat.admin.transcripts import ExportPage, RawPage, TranscriptPage, state_in_words
from chat.models import Conversation, Turn
from chat.models.turns import to_be_stored
from common.admin.lists import column, when
from common.visible import visible_name

DELETED_AT_ONCE = 200
STATE_MARKS = {"Active": "good", "Expired": "quiet", "Deleted": "quiet", "Corrupt": "bad"}


class _Rows(ChatRows):
    """A page of the list, with the turns of its rows counted in one query."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        self.result_list = rows
        pending, dead = to_be_stored(timezone.now()), Q(state=Turn.State.DEAD_LETTER)
        turns = Turn.objects.filter(
            pending | dead,
            user_id__in={row.user_id for row in rows},
            conversation_id__in={row.conversation_id for row in rows},
        )
        counted = turns.order_by().values("user_id", "conversation_id")
        counted = counted.annotate(
            pending=Count("id", filter=pending), dead=Count("id", filter=dead)
        )
        counts = {(n["user_id"], n["conversation_id"]): (n["pending"], n["dead"]) for n in counted}
        for row in rows:
            row.pending, row.dead_letters = counts.get((row.user_id, row.conversation_id), (0, 0))


class ConversationAdmin(ChatList):
    """The list of all users' conversations."""

    pages = [
        TranscriptPage.at("change/", "chat_conversation_change"),
        ExportPage.at("export/", "chat_conversation_export"),
        RawPage.at("raw/", "chat_conversation_raw"),
        ReplayPage.at("replay/", "chat_conversation_replay"),
        DeletePage.at("delete/", "chat_conversation_delete"),
    ]
    empty_text = (
        "No conversations here. Users begin them with POST /api/USER/chat; the filter “state” "
        "shows deleted ones."
    )
    list_display = (
        *("conversation", "user", "shown_title", "message_count", "updated", "expires"),
        *("pending_turns", "state"),
    )
    list_filter = (StateFilter, WaitingFilter, ExpiryFilter, UpdatedFilter, UpdatedBetween)
    search_fields = ("user_id", "conversation_id", "title")
    said_columns = frozenset({"shown_title"})
    said_fields = frozenset({"title"})
    search_help_text = "By user, conversation id or title."
    ordering = ("-updated_at", "-id")
    sortable_by = ("user", "message_count", "updated", "expires")
    actions = ["delete_conversations"]

    shown_title = column(isolated, "title", "title")
    updated = column(when, "updated_at", "updated")
    expires = column(when, "expires_at", "expires")

    @admin.display(description="turns")
    def pending_turns(self, row: Any) -> str:
        number = row.dead_letters
        marks = []
        if row.pending:
            marks.append(_mark("warning", f"{row.pending} waiting"))
        if number:
            marks.append(_mark("bad", f"{number} dead letter{pluralize(number)}"))
        return format_html_join(" ", "{}", ((mark,) for mark in marks)) or "-"

    @admin.display(description="state")
    def state(self, row: Conversation) -> str:
        words = state_in_words(row)
        return _mark(STATE_MARKS.get(words, "warning"), words)

    def get_urls(self) -> list[Any]:
        history = self.admin_site.admin_view(self.history_view)
        return [
            path("forget/", self.admin_site.admin_view(forget_page), name="chat_forget_user"),
            *super().get_urls(),
            path("<path:object_id>/history/", history, name="chat_conversation_history"),
        ]

    def history_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied  # ModelAdmin would look for the conversation first
        title = f"History of {visible_name(str(self.get_object(request, object_id)))}"
        return super().history_view(request, object_id, {"title": title})

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return _Rows

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method == "POST" and not request.user.has_perm(DELETE):
            raise PermissionDenied
        return super().changelist_view(request)

    @admin.action(description="Delete selected conversations", permissions=["delete"])
    def delete_conversations(
        self, request: HttpRequest, queryset: QuerySet[Conversation]
    ) -> HttpResponse | None:
        """Ask first; then delete as users do, in the store too."""
        rows = list(queryset.order_by("-updated_at", "-id")[: DELETED_AT_ONCE + 1])
        if len(rows) > DELETED_AT_ONCE:
            words = f"Nothing was deleted: at most {DELETED_AT_ONCE} conversations go at a time."
            self.message_user(request, words, messages.ERROR)
            return None
        if request.POST.get("confirmed"):
            level, words = delete_all(request, rows)
            self.message_user(request, words, level)
            return None
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Delete conversations?",
            **_question(rows),
        }
        return TemplateResponse(request, "admin/confirmation.html", context)


def _mark(kind: str, words: str) -> SafeString:
    return format_html('<span class="chat-mark chat-{}">{}</span>', kind, words)


def _question(rows: list[Conversation]) -> dict[str, Any]:
    words = "will be gone for good: messages, title, waiting turns, and copies in quarantine."
    return {
        "words": f"{len(rows)} conversation{pluralize(len(rows))} {words}",
        "items": [
            f"{visible_name(str(row))}: {row.message_count} message{pluralize(row.message_count)}"
            for row in rows
        ],
        "hidden": [
            ("action", "delete_conversations"),
            ("confirmed", "yes"),
            *(("_selected_action", row.pk) for row in rows),
        ],
        "button": "Delete them",
        "back_url": reverse("admin:chat_conversation_changelist"),
    }
