"""Repairs of a state in quarantine: an edited copy, or the messages that can be read."""

import json
from functools import cached_property
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import pluralize

from chat.admin.lists import CHANGE, READ, VIEW
from chat.admin.pages import in_words, status_of
from chat.admin.quarantine.pages import CopyPage
from chat.admin.rendering import shown_text
from chat.conversations.salvage import Salvaged
from chat.conversations.state import ConversationState, InvalidConversation, decode, encode
from chat.errors import ChatError
from chat.repair import quarantine
from common import strict_json
from common.admin.pages import ConfirmationPage

REST_OF_FORM_BYTES = 1000  # its token, the names of its fields
SALVAGED_SHOWN = 200


class RestorePage(CopyPage):
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
            beginnings["found"] = self.indented(self.copied_text)
        if self.known.messages:
            beginnings["known"] = _readable(self.known)
        return beginnings | {"empty": _readable(quarantine.empty_conversation(self.key))}

    def indented(self, text: str) -> str:
        """Return JSON with a line for each value; what is none, or gets too large, as it is."""
        try:
            document = strict_json.loads(text, object_pairs_hook=strict_json.unique_names)
            lines = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
            return lines if _fits_a_form(lines.encode()) else text
        except (ValueError, RecursionError):
            return text

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
        return not _fits_a_form(self.copied_bytes)

    @cached_property
    def known(self) -> ConversationState:
        """The turns that the database still holds."""
        return quarantine.known_conversation(self.key)


def _fits_a_form(content: bytes) -> bool:
    newlines = content.count(b"\n")  # browsers send each as two bytes
    sent = len(content) + newlines + REST_OF_FORM_BYTES
    return sent <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE


def _readable(state: ConversationState) -> str:
    return json.dumps(json.loads(encode(state)), indent=1, ensure_ascii=False)


class SalvagePage(ConfirmationPage, CopyPage):
    """Shows which messages of the copy can be read; a POST stores them in place of the rest."""

    permissions = (VIEW, READ, CHANGE)
    title = "Keep what can be read?"
    template = "admin/chat/salvage.html"
    button = "Keep these messages"

    def question(self) -> dict[str, Any]:
        try:
            found = self.salvaged
        except InvalidConversation as invalid:
            return {"refusal": f"Nothing of this copy is kept: {invalid.reason}."}
        kept = found.state.messages
        return {
            "count": len(kept),
            "kept": [(each, shown_text(each.content, 200)) for each in kept[:SALVAGED_SHOWN]],
            "lost": found.lost,
        }

    def post(self, request: HttpRequest) -> HttpResponse:
        try:
            state = self.salvaged.state
        except InvalidConversation as invalid:
            return self.refuse(f"Nothing was restored: {invalid.reason}.", 409)
        if not state.messages:
            return self.refuse("Nothing was restored: no message can be read.", 409)
        flushed = quarantine.restore(self.key, state, self.deadline, self.object.digest)
        number = f"{len(state.messages)} message{pluralize(len(state.messages))}"
        self.record(f"Restored what could be read of the quarantined state: {number}.")
        return self.repaired(f"The conversation is restored: {number}.", flushed=flushed)

    @cached_property
    def salvaged(self) -> Salvaged:
        """What can be read of the copy, or is still in the database."""
        return quarantine.salvaged_conversation(self.key, self.copied_bytes)
