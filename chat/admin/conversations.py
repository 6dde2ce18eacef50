"""The list of conversations."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import pluralize
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.safestring import SafeString

from chat.admin.days import UpdatedBetween
from chat.admin.deletion import DeletePage, delete_all
from chat.admin.filters import ExpiryFilter, StateFilter, UpdatedFilter, WaitingFilter
from chat.admin.lists import DELETE, ChatList, ChatRows, isolated, state_in_words, when
from chat.admin.replay import ReplayPage
from chat.admin.transcripts import ExportPage, RawPage, TranscriptPage
from chat.models import Conversation, Turn
from chat.turns.waiting import to_be_stored
from common.visible import visible_name

DELETED_AT_ONCE = 200


class _Rows(ChatRows):
    """A page of the list, with the turns of its rows counted in one query."""

    def get_results(self, request: HttpRequest) -> None:
        """Attach `pending` and `dead_letters` to the rows of the page, and to no others."""
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
        count = {(of["user_id"], of["conversation_id"]): of for of in counted}
        for row in rows:
            of_row = count.get((row.user_id, row.conversation_id), {"pending": 0, "dead": 0})
            row.pending, row.dead_letters = of_row["pending"], of_row["dead"]


class ConversationAdmin(ChatList):
    """Conversations of all users."""

    pages = [
        TranscriptPage.at("change/", "change"),
        ExportPage.at("export/", "export"),
        RawPage.at("raw/", "raw"),
        ReplayPage.at("replay/", "replay"),
        DeletePage.at("delete/", "delete"),
    ]
    list_display = (
        *("conversation", "user", "shown_title", "message_count", "updated", "expires"),
        *("pending_turns", "state"),
    )
    list_filter = (StateFilter, WaitingFilter, ExpiryFilter, UpdatedFilter, UpdatedBetween)
    search_fields = ("user_id", "conversation_id", "title")
    search_help_text = "By user, conversation id or title."
    ordering = ("-updated_at", "-id")
    sortable_by = ("user", "message_count", "updated", "expires")
    actions = ["delete_conversations"]

    def get_urls(self) -> list[Any]:
        """The history of a conversation, beside our own pages."""
        history = self.admin_site.admin_view(self.history_view)
        return [
            *super().get_urls(),
            path("<path:object_id>/history/", history, name="chat_conversation_history"),
        ]

    def history_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """What operators did with it."""
        if not self.has_view_permission(request):
            raise PermissionDenied  # ModelAdmin would look for the conversation first
        title = f"History of {visible_name(str(self.get_object(request, object_id)))}"
        return super().history_view(request, object_id, {"title": title, **(extra_context or {})})

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """With the counts of turns."""
        return _Rows

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list. Only who may delete posts to it."""
        if request.method == "POST" and not request.user.has_perm(DELETE):
            raise PermissionDenied
        return super().changelist_view(request, extra_context)

    @admin.display(description="id")
    def conversation(self, row: Conversation) -> SafeString:
        """Its id."""
        return isolated(row.conversation_id)

    @admin.display(description="user", ordering="user_id")
    def user(self, row: Conversation) -> SafeString:
        """Whose it is."""
        return isolated(row.user_id)

    @admin.display(description="title", empty_value="-")
    def shown_title(self, row: Conversation) -> SafeString | None:
        """Its title."""
        return isolated(row.title) if row.title else None

    @admin.display(description="updated", ordering="updated_at")
    def updated(self, row: Conversation) -> SafeString | None:
        """When it was updated."""
        return when(row.updated_at)

    @admin.display(description="expires", ordering="expires_at")
    def expires(self, row: Conversation) -> SafeString | None:
        """When it expires."""
        return when(row.expires_at)

    @admin.display(description="waiting")
    def pending_turns(self, row: Any) -> str:
        """What waits in it."""
        number = row.dead_letters
        dead = f"{number} dead letter{pluralize(number)}" if number else ""
        return ", ".join(filter(None, [str(row.pending) if row.pending else "", dead])) or "-"

    @admin.display(description="state")
    def state(self, row: Conversation) -> str:
        """Where it stands."""
        return state_in_words(row)

    @admin.action(description="Delete selected conversations", permissions=["delete"])
    def delete_conversations(
        self, request: HttpRequest, queryset: QuerySet[Conversation]
    ) -> HttpResponse | None:
        """Ask first, then delete as users do: in the store too."""
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
            "rows": rows,
        }
        return TemplateResponse(request, "admin/chat/delete_selected.html", context)
