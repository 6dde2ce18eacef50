"""What is done about a state in quarantine: restore it edited, discard it, drop the copy."""

import base64
import json
from functools import cached_property

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from chat import quarantine
from chat.admin.lists import CHANGE, DELETE, VIEW
from chat.admin.pages import ChatPage, in_words, status_of
from chat.conversations.state import ConversationState, InvalidConversation, decode, encode
from chat.errors import ChatError
from chat.models import Conversation, Quarantine, Turn

BACK = "admin:chat_quarantine_change"
REST_OF_FORM_BYTES = 1000  # its token, the names of its fields
REPAIRED = "{} The turns that were waiting are stored."
NOT_FLUSHED = "{} Turns of it still wait for the store."


def _said(words: str, flushed: bool) -> tuple[int, str]:
    if flushed:
        return messages.SUCCESS, REPAIRED.format(words)
    return messages.WARNING, NOT_FLUSHED.format(words)


def _readable(state: ConversationState) -> str:
    return json.dumps(json.loads(encode(state)), indent=1, ensure_ascii=False)


class RestorePage(ChatPage):
    """Puts an edited copy in the corrupt state's place."""

    permissions = (VIEW, CHANGE)
    title = "Restore conversation"
    template = "admin/chat/restore.html"
    model = Quarantine
    http_method_names = ["get", "post"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """The form, with what `?begin=` asks for, or the first beginning that there is."""
        begin = request.GET.get("begin", "")
        if begin not in self.beginnings:
            begin = next(iter(self.beginnings))
        return self._form(self.beginnings[begin], begin=begin)

    @cached_property
    def beginnings(self) -> dict[str, str]:
        """What the conversation can begin with anew: what holds most of it first."""
        beginnings = {}
        if self.copied_text.strip():
            beginnings["found"] = self.copied_text
        if self.known.messages:
            beginnings["known"] = _readable(self.known)
        return beginnings | {"empty": _readable(quarantine.empty_conversation(self.key))}

    @cached_property
    def copied_text(self) -> str:
        """The copy, nothing where it is no text, or more than the form can carry."""
        try:
            return "" if self.is_too_large else self.copied_bytes.decode()
        except UnicodeDecodeError:
            return ""

    @cached_property
    def copied_bytes(self) -> bytes:
        """The copy. Of a key of another type there are no bytes."""
        return base64.b64decode(self.found.content_base64)

    @property
    def is_too_large(self) -> bool:
        """Whether a form with the copy is refused. Browsers send each newline as two bytes."""
        sent = len(self.copied_bytes) + self.copied_bytes.count(b"\n") + REST_OF_FORM_BYTES
        return sent > settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    @cached_property
    def known(self) -> ConversationState:
        """What the database still holds."""
        return quarantine.known_conversation(self.key)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Restore what was typed; or the form again, with it, and what is wrong."""
        text = request.POST.get("document", "")
        try:
            state = decode(text.encode(errors="replace"), self.key)
            flushed = quarantine.restore(self.key, state, self.deadline, self.found.digest)
        except InvalidConversation as invalid:
            return self._form(text, f"This is no conversation: {invalid.reason}.", 400)
        except ChatError as error:
            words = f"Nothing was restored. {in_words(error)}"
            return self._form(text, words, status_of(error))
        self.record("Restored an edited copy of the quarantined state.")
        return self.leave(BACK, *_said("The conversation is restored.", flushed), self.found.pk)

    def _form(
        self, text: str, error: str = "", status: int = 200, *, begin: str = ""
    ) -> HttpResponse:
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


class DiscardPage(ChatPage):
    """Puts an empty conversation in the corrupt state's place, after a question."""

    permissions = (DELETE,)
    title = "Discard the corrupt state?"
    template = "admin/chat/discard_state.html"
    model = Quarantine
    http_method_names = ["get", "post"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """What would be gone; not what it says."""
        row = Conversation.objects.at(self.key)
        context = {
            "waiting": self.waiting_turns.count(),
            "messages_indexed": row.message_count if row else 0,
            "turns_known": Turn.objects.of(self.key).filter(state=Turn.State.STORED).count(),
        }
        return self.render(context)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Discard it."""
        flushed = quarantine.discard(self.key, self.deadline, self.found.digest)
        self.record("Discarded the corrupt state.")
        words = "The corrupt state is discarded; its copy stays here until you delete that."
        return self.leave(BACK, *_said(words, flushed), self.found.pk)


class DropPage(ChatPage):
    """Deletes a copy that is needed no more, after a question."""

    permissions = (DELETE,)
    title = "Delete this copy?"
    template = "admin/chat/drop_copy.html"
    model = Quarantine
    http_method_names = ["get", "post"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """What would be gone."""
        return self.render({})

    def post(self, request: HttpRequest) -> HttpResponse:
        """Delete it."""
        if not quarantine.drop_copy(self.found):
            return self.say("What this is a copy of is corrupt still: restore or discard it.", 409)
        self.record("Deleted a copy of a quarantined state.")
        words = "The copy is deleted."
        return self.leave("admin:chat_quarantine_changelist", messages.SUCCESS, words)
