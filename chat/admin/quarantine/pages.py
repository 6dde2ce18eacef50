"""The pages of one state in quarantine, but for those that repair it."""

import base64
import hashlib
from functools import cached_property
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import pluralize
from django.utils.formats import date_format

from chat.admin.lists import DELETE, READ, VIEW
from chat.admin.pages import ChatPage, in_words
from chat.admin.rendering import shown_bytes
from chat.errors import StoreCorrupt, StoreError, StoreMissing
from chat.models import Conversation, Quarantine, Turn
from chat.repair import quarantine
from chat.turns.open_conversation import OpenConversation
from common.admin.pages import ConfirmationPage, as_attachment

TURNS_SHOWN = 50


class CopyPage(ChatPage):
    """A page about a copy of what can't be read."""

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


class QuarantinePage(CopyPage):
    """A copy of what can't be read, what the store has now, and the turns that wait."""

    permissions = (VIEW,)
    shows_said = True
    title = "Quarantined state"
    template = "admin/chat/quarantine.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        now = self.now_in_words()
        self.object.refresh_from_db()  # reading may have shown that it is resolved
        context = {
            "row": Conversation.at(self.key),
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


class DownloadPage(CopyPage):
    """The copied bytes as a file."""

    permissions = (VIEW, READ)
    title = "Download"

    def get(self, request: HttpRequest) -> HttpResponse:
        self.record("Downloaded a quarantined state.")
        return as_attachment(HttpResponse(self.copied_bytes), "quarantined-state.json")


class DiscardPage(ConfirmationPage, CopyPage):
    """Stores an empty conversation in place of what can't be read."""

    permissions = (DELETE,)
    title = "Discard the corrupt state?"
    template = "admin/chat/discard_state.html"
    button = "Discard the state"

    def question(self) -> dict[str, Any]:
        row = Conversation.at(self.key)
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


class DropPage(ConfirmationPage, CopyPage):
    """Deletes the copy once the conversation is repaired."""

    permissions = (DELETE,)
    title = "Delete this copy?"
    button = "Delete the copy"

    def question(self) -> dict[str, Any]:
        found = date_format(self.object.found_at, "DATETIME_FORMAT")
        words = f"This copy of what could not be read, found {found}, will be gone for good."
        return {"words": f"{words} The conversation stays as it is."}

    def post(self, request: HttpRequest) -> HttpResponse:
        if not quarantine.drop_copy(self.object):
            return self.refuse("The conversation is corrupt still: restore or discard it.", 409)
        self.record("Deleted a copy of a quarantined state.")
        return self.leave("The copy is deleted.", self.list_url)
