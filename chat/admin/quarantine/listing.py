"""The list of states in quarantine, and the URLs of the pages of one."""

from django.db.models import F, QuerySet, Value
from django.db.models.functions import Length, Replace, Right
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat

from chat.admin.filters import FoundFilter, ResolvedFilter
from chat.admin.lists import ChatList, isolated
from chat.admin.quarantine.pages import DiscardPage, DownloadPage, DropPage, QuarantinePage
from chat.admin.quarantine.repairs import RestorePage, SalvagePage
from chat.models import Quarantine
from common.admin.lists import column, when

# The number of bytes that a base64 text encodes: three a quartet, less the padding at its end.
_END = Right(F("content_base64"), 2)
_PADDING = Length(_END) - Length(Replace(_END, Value("="), Value("")))
SIZE = Length(F("content_base64")) * 3 / 4 - _PADDING


class QuarantineAdmin(ChatList):
    """The list of copies."""

    pages = [
        QuarantinePage.at("change/", "chat_quarantine_change"),
        DownloadPage.at("download/", "chat_quarantine_download"),
        RestorePage.at("restore/", "chat_quarantine_restore"),
        SalvagePage.at("salvage/", "chat_quarantine_salvage"),
        DiscardPage.at("discard/", "chat_quarantine_discard"),
        DropPage.at("drop/", "chat_quarantine_drop"),
    ]
    empty_text = (
        "Nothing is in quarantine. When a stored conversation turns out to be unreadable, a copy "
        "of it is kept here."
    )
    list_display = ("conversation", "user", "shown_reason", "size", "found", "resolved")
    list_filter = (ResolvedFilter, FoundFilter)
    search_fields = ("user_id", "conversation_id")
    search_help_text = "By user or conversation id."
    ordering = ("-found_at", "-id")
    sortable_by = ("size", "found", "resolved")

    shown_reason = column(isolated, "reason", "reason")
    size = column(filesizeformat, "size", "size")
    found = column(when, "found_at", "found")
    resolved = column(when, "resolved_at", "resolved")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Quarantine]:
        rows: QuerySet[Quarantine] = super().get_queryset(request)
        return rows.defer("content_base64").annotate(size=SIZE)  # it may be megabytes a row
