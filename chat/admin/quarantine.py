"""Quarantine: the list of states that can't be read, and the pages of one."""

import base64
import hashlib
import json
from functools import cached_property
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Length, Replace, Right
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat, pluralize

from chat.admin.filters import FoundFilter, ResolvedFilter
from chat.admin.lists import CHANGE, DELETE, READ, VIEW, ChatList, isolated, when
from chat.admin.pages import ChatPage, in_words, status_of
from chat.admin.rendering import shown_bytes
from chat.conversations.state import ConversationState, InvalidConversation, decode, encode
from chat.errors import ChatError, StoreCorrupt, StoreError, StoreMissing
from chat.models import Conversation, Quarantine, Turn
from chat.repair import quarantine
from chat.turns.open_conversation import OpenConversation
from common.admin.lists import column
from common.admin.pages import ConfirmationPage, as_attachment

TURNS_SHOWN = 50
REST_OF_FORM_BYTES = 1000  # its token, the names of its fields

# The number of bytes that a base64 text encodes: three a quartet, less the padding at its end.
_END = Right(F("content_base64"), 2)
_PADDING = Length(_END) - Length(Replace(_END, Value("="), Value("")))
SIZE = Length(F("content_base64")) * 3 / 4 - _PADDING


class _CopyPage(ChatPage):
    model = Quarantine

    @cached_property
    def copied_bytes(self) -> bytes:
        """The copy; empty when the key held another type than a string."""
        return base64.b64decode(self.object.content_base64)

    def repaired(self, words: str, *, flushed: bool) -> HttpResponse:
        """Say what was done, and whether the waiting turns were stored after it."""
        if flushed:
            return self.leave(f"{words} The turns that were waiting are stored.")
        return self.leave(f"{words} Its turns still wait for the store.", level=messages.WARNING)


class QuarantinePage(_CopyPage):
    """A copy of what can't be read, what the store has now, and the turns that wait."""

    permissions = (VIEW,)
    shows_said = True
    title = "Quarantined state"
    template = "admin/chat/quarantine.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        now = self.now_in_words()
        self.object.refresh_from_db()  # reading may have shown that it is resolved
        context = {
            "row": Conversation.objects.at(self.key),
            "may_read": self.may_read,
            "shown": shown_bytes(self.copied_bytes) if self.may_read else None,
            "size": len(self.copied_bytes),
            "now": now,
            "turns": self.waiting_turns.only("accepted_at", "state", "message")[:TURNS_SHOWN],
            "turn_count": self.waiting_turns.count(),
        }
        return self.render(context)

    def now_in_words(self) -> str:
        """Read the conversation, and return what the store has now."""
        try:
            snapshot = OpenConversation(self.key, self.deadline).read()
        except StoreCorrupt as corrupt:
            if hashlib.sha256(corrupt.raw).hexdigest() == self.object.digest:
                return "These bytes."
            return "Other bytes that can't be read either; there is another copy of them here."
        except StoreError as error:
            return in_words(error)
        if snapshot.etag is None:
            return in_words(StoreMissing())
        if snapshot.state is None:
            return "The mark of a deletion."
        number = len(snapshot.state.messages)
        return f"A conversation that can be read, with {number} message{pluralize(number)}."


class DownloadPage(_CopyPage):
    """The copied bytes as a file."""

    permissions = (VIEW, READ)
    title = "Download"

    def get(self, request: HttpRequest) -> HttpResponse:
        self.record("Downloaded a quarantined state.")
        return as_attachment(HttpResponse(self.copied_bytes), "quarantined-state.json")


class RestorePage(_CopyPage):
    """Stores an edited copy in place of what can't be read."""

    permissions = (VIEW, READ, CHANGE)
    title = "Restore conversation"
    template = "admin/chat/restore.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        begin = request.GET.get("begin", "")
        if begin not in self.beginnings:
            begin = next(iter(self.beginnings))
        return self.form(self.beginnings[begin], begin=begin)

    def post(self, request: HttpRequest) -> HttpResponse:
        text = request.POST.get("document", "")
        try:
            state = decode(text.encode(errors="replace"), self.key)
            flushed = quarantine.restore(self.key, state, self.deadline, self.object.digest)
        except InvalidConversation as invalid:
            return self.form(text, f"This is no conversation: {invalid.reason}.", 400)
        except ChatError as error:
            words = f"Nothing was restored. {in_words(error)}"
            return self.form(text, words, status_of(error))
        self.record("Restored an edited copy of the quarantined state.")
        return self.repaired("The conversation is restored.", flushed=flushed)

    def form(self, text: str, error: str = "", status: int = 200, begin: str = "") -> HttpResponse:
        """Return the form with `text` in it; `begin` names the beginning that it is."""
        context = {
            "text": text,
            "error": error,
            "begin": begin,
            "others": [name for name in self.beginnings if name != begin],
            "bytes_found": len(self.copied_bytes),
            "is_too_large": self.is_too_large,
            "bytes_max": settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
            "messages_known": len(self.known.messages),
        }
        return self.render(context, status=status)

    @cached_property
    def beginnings(self) -> dict[str, str]:
        """What the operator can begin to edit, by name. The one that holds most comes first."""
        beginnings = {}
        if self.copied_text.strip():
            beginnings["found"] = self.copied_text
        if self.known.messages:
            beginnings["known"] = _readable(self.known)
        return beginnings | {"empty": _readable(quarantine.empty_conversation(self.key))}

    @property
    def copied_text(self) -> str:
        """The copy; "" if it is not text or does not fit into the form."""
        try:
            return "" if self.is_too_large else self.copied_bytes.decode()
        except UnicodeDecodeError:
            return ""

    @property
    def is_too_large(self) -> bool:
        """Whether Django would refuse a form that holds the copy."""
        newlines = self.copied_bytes.count(b"\n")  # browsers send each as two bytes
        sent = len(self.copied_bytes) + newlines + REST_OF_FORM_BYTES
        return sent > settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    @cached_property
    def known(self) -> ConversationState:
        """The turns that the database still holds."""
        return quarantine.known_conversation(self.key)


def _readable(state: ConversationState) -> str:
    return json.dumps(json.loads(encode(state)), indent=1, ensure_ascii=False)


class DiscardPage(ConfirmationPage, _CopyPage):
    """Stores an empty conversation in place of what can't be read."""

    permissions = (DELETE,)
    title = "Discard the corrupt state?"
    template = "admin/chat/discard_state.html"
    button = "Discard the state"

    def question(self) -> dict[str, Any]:
        row = Conversation.objects.at(self.key)
        return {
            "waiting": self.waiting_turns.count(),
            "messages_indexed": row.message_count if row else 0,
            "turns_known": Turn.objects.of(self.key).filter(state=Turn.State.STORED).count(),
        }

    def post(self, request: HttpRequest) -> HttpResponse:
        flushed = quarantine.discard(self.key, self.deadline, self.object.digest)
        self.record("Discarded the corrupt state.")
        words = "The corrupt state is discarded. Its copy stays here until you delete it."
        return self.repaired(words, flushed=flushed)


class DropPage(ConfirmationPage, _CopyPage):
    """Deletes the copy once the conversation is repaired."""

    permissions = (DELETE,)
    title = "Delete this copy?"
    button = "Delete the copy"

    def question(self) -> dict[str, Any]:
        found = f"{self.object.found_at:%Y-%m-%d %H:%M}"
        words = f"This copy of what could not be read, found {found}, will be gone for good."
        return {"words": f"{words} The conversation stays as it is."}

    def post(self, request: HttpRequest) -> HttpResponse:
        if not quarantine.drop_copy(self.object):
            return self.refuse("The conversation is corrupt still: restore or discard it.", 409)
        self.record("Deleted a copy of a quarantined state.")
        return self.leave("The copy is deleted.", self.list_url)


class QuarantineAdmin(ChatList):
    """The list of copies."""

    pages = [
        QuarantinePage.at("change/", "chat_quarantine_change"),
        DownloadPage.at("download/", "chat_quarantine_download"),
        RestorePage.at("restore/", "chat_quarantine_restore"),
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
