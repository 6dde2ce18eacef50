"""States in quarantine: the list, and a page of each."""

import base64
import hashlib
from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Length, Replace, Right
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat, pluralize
from django.utils.safestring import SafeString

from chat.admin.filters import FoundFilter, ResolvedFilter
from chat.admin.lists import VIEW, ChatList, isolated, when
from chat.admin.pages import ChatPage, in_words
from chat.admin.rendering import shown_bytes
from chat.admin.repair import DiscardPage, DropPage, RestorePage
from chat.admin.transcripts import attachment
from chat.conversations.state import ConversationKey
from chat.deadline import Deadline
from chat.errors import StoreCorrupt, StoreError, StoreMissing
from chat.models import Conversation, Quarantine
from chat.turns.open_conversation import OpenConversation

TURNS_SHOWN = 50

# The bytes that base64 stands for: three a quartet, less the padding at its end.
_END = Right(F("content_base64"), 2)
_PADDING = Length(_END) - Length(Replace(_END, Value("="), Value("")))
SIZE = Length(F("content_base64")) * 3 / 4 - _PADDING


class QuarantinePage(ChatPage):
    """A copy of what could not be read: its bytes, what stands in the store now, what waits."""

    permissions = (VIEW,)
    title = "Quarantined state"
    template = "admin/chat/quarantine.html"
    model = Quarantine
    http_method_names = ["get"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """The page. Looking at what stands there now may show that it is resolved."""
        now = now_in_words(self.key, self.found.digest, self.deadline)
        self.found.refresh_from_db()
        raw = base64.b64decode(self.found.content_base64)
        waiting = self.waiting_turns
        context = {
            "row": Conversation.objects.at(self.key),
            "shown": shown_bytes(raw),
            "size": len(raw),
            "now": now,
            "turns": waiting.only("accepted_at", "state", "message")[:TURNS_SHOWN],
            "turn_count": waiting.count(),
        }
        return self.render(context)


class DownloadPage(ChatPage):
    """The bytes as a file."""

    permissions = (VIEW,)
    title = "Download"
    model = Quarantine
    http_method_names = ["get"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """The file."""
        self.record("Downloaded a quarantined state.")
        return attachment(base64.b64decode(self.found.content_base64), "quarantined-state.json")


def now_in_words(key: ConversationKey, digest: str, deadline: Deadline) -> str:
    """Return what stands in the store now."""
    try:
        snapshot = OpenConversation(key, deadline).read()
    except StoreCorrupt as corrupt:
        if hashlib.sha256(corrupt.raw).hexdigest() == digest:
            return "These bytes."
        return "Other bytes that can't be read either; they have a copy of their own."
    except StoreError as error:
        return in_words(error)
    if snapshot.etag is None:
        return in_words(StoreMissing())
    if snapshot.state is None:
        return "The mark of a deletion."
    number = len(snapshot.state.messages)
    return f"A conversation that can be read, with {number} message{pluralize(number)}."


class QuarantineAdmin(ChatList):
    """Copies of states that are no conversations."""

    pages = [
        QuarantinePage.at("change/", "change"),
        DownloadPage.at("download/", "download"),
        RestorePage.at("restore/", "restore"),
        DiscardPage.at("discard/", "discard"),
        DropPage.at("drop/", "drop"),
    ]
    list_display = ("conversation", "user", "shown_reason", "size", "found", "resolved")
    list_filter = (ResolvedFilter, FoundFilter)
    search_fields = ("user_id", "conversation_id")
    search_help_text = "By user or conversation id."
    ordering = ("-found_at", "-id")
    sortable_by = ("size", "found", "resolved")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Quarantine]:
        """Without the bytes themselves, which may be megabytes a row."""
        rows: QuerySet[Quarantine] = super().get_queryset(request)
        return rows.defer("content_base64").annotate(size=SIZE)

    @admin.display(description="conversation")
    def conversation(self, row: Quarantine) -> SafeString:
        """Its id."""
        return isolated(row.conversation_id)

    @admin.display(description="user")
    def user(self, row: Quarantine) -> SafeString:
        """Whose it is."""
        return isolated(row.user_id)

    @admin.display(description="reason")
    def shown_reason(self, row: Quarantine) -> SafeString:
        """What is wrong with it."""
        return isolated(row.reason)

    @admin.display(description="found", ordering="found_at")
    def found(self, row: Quarantine) -> SafeString | None:
        """When it was found."""
        return when(row.found_at)

    @admin.display(description="resolved", ordering="resolved_at")
    def resolved(self, row: Quarantine) -> SafeString | None:
        """When it was resolved."""
        return when(row.resolved_at)

    @admin.display(description="size", ordering="size")
    def size(self, row: Any) -> str:
        """How much it is."""
        return filesizeformat(row.size)
