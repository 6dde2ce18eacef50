"""A conversation as operators see it: the page with its messages, and its downloads."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from chat.admin.lists import READ, VIEW
from chat.admin.pages import ChatPage, in_words, status_of
from chat.admin.rendering import Excerpt, shown_json, shown_text
from chat.admin.replay import can_replay
from chat.admin.timeline import degraded_turns, timeline
from chat.api.conversation_views import export_answer
from chat.conversations.history import split_turns
from chat.conversations.state import MessageEntry, encode
from chat.errors import StoreCorrupt, StoreError, StoreMissing
from chat.models import Conversation, Quarantine, Turn
from chat.repository import conversation_repository
from chat.turns import transcript
from chat.turns.transcript import Transcript
from common.admin.pages import as_attachment

MESSAGES_A_PAGE = 40
TROUBLES_SHOWN = 3
STATUS_IN_WORDS = {
    "stored": "Stored",
    "waiting": "Waiting for the store",
    "under way": "Being answered",
    "not known": "Not known: what is stored can't be read",
    "dead letter": "Dead letter: the store refuses it",
}


@dataclass(frozen=True, slots=True)
class ShownCall:
    """A tool call of a message."""

    tool: str
    parameters: Excerpt
    result: Excerpt


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A message, and who wrote it."""

    by: str
    role: str
    at: datetime
    content: Excerpt
    calls: list[ShownCall]


@dataclass(frozen=True, slots=True)
class ShownTurn:
    """The messages of a turn, and its status. `row` is None when only the store has the turn.

    `degraded` says why it was answered degraded, "" if it was not.
    """

    messages: list[ShownMessage]
    status: str
    status_in_words: str
    row: Turn | None
    degraded: str


class _ConversationPage(ChatPage):
    permissions: ClassVar[tuple[str, ...]] = (VIEW, READ)
    model = Conversation


class TranscriptPage(_ConversationPage):
    """The conversation as a chat, oldest message first, beside what is known of it.

    It shows the newest messages; `?before=` those before a cursor. Whoever may not read what was
    said sees the facts and the timeline. Looking changes nothing of the index.
    """

    permissions = (VIEW,)
    shows_said = True
    title = "Conversation"
    template = "admin/chat/conversation.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        read, failure = self.read()
        before = request.GET.get("before")
        page = None
        if read and self.may_read:
            page = transcript.page(read.state, MESSAGES_A_PAGE, before)
        self.object.refresh_from_db()  # reading may have shown that it is corrupt, or no more
        is_corrupt = isinstance(failure, StoreCorrupt)
        happened = timeline(self.object, read.state if read else None)
        copies = Quarantine.objects.filter(
            user_id=self.key.user_id, conversation_id=self.key.conversation_id
        )
        context = {
            "may_read": self.may_read,
            "timeline": happened,
            "troubles": [entry for entry in happened if entry.is_trouble][:TROUBLES_SHOWN],
            "turns": self.turns(read, page.messages) if read and page else [],
            "older": page.next_cursor if page else None,
            "before": before,
            "failure": in_words(failure) if failure else "",
            "copies": copies.defer("content_base64")[:10],
            "waiting": self.waiting_turns.count(),
            "dead_letters": Turn.objects.of(self.key).dead_letters().count(),
            "store": store_in_words(),
            "state": state_in_words(self.object),
            **_stored(read, failure, may_read=self.may_read),
            "is_corrupt": is_corrupt,
            # Only actions that can succeed are offered.
            "can_replay": can_replay(self.key, self.object) and not is_corrupt,
            "can_export": self.may_read and read is not None and failure is None,
            "can_delete": self.object.active or read is not None,
        }
        # What can't be read is shown from the database, as an ordinary page.
        return self.render(
            context, status=status_of(failure) if failure and not is_corrupt else 200
        )

    def read(self) -> tuple[Transcript | None, StoreError | None]:
        """Return the conversation if there is one, and why it may not be complete."""
        try:
            read = transcript.read(self.key, self.deadline, repairs=False)
        except StoreError as failure:
            return None, failure
        return read, read.failure if read else None

    def turns(self, read: Transcript, messages: list[MessageEntry]) -> list[ShownTurn]:
        """Return the turns of some messages, for the template."""
        ids = {message.turn_id for message in messages if message.turn_id}
        rows: dict[Any, Turn] = Turn.objects.of(self.key).in_bulk(ids)
        degraded = degraded_turns(self.key)
        shown = []
        for turn in split_turns(messages):
            status = _status(turn[0].turn_id, read)
            row = rows.get(turn[0].turn_id)
            words = STATUS_IN_WORDS[status]
            why = degraded.get(turn[0].turn_id or "", "")
            shown.append(ShownTurn(list(map(_shown, turn)), status, words, row, why))
        return shown


def _status(turn_id: str | None, read: Transcript) -> str:
    status = read.status.get(turn_id or "", transcript.STORED)
    lost = status == transcript.STORED and isinstance(read.failure, StoreCorrupt)
    return "not known" if lost else status


def _shown(message: MessageEntry) -> ShownMessage:
    return ShownMessage(
        by="User" if message.role == "user" else "Assistant",
        role=message.role,
        at=message.timestamp,
        content=shown_text(message.content),
        calls=[
            ShownCall(call.tool, shown_json(call.parameters), shown_json(call.result))
            for call in message.tool_calls or []
        ],
    )


def _stored(
    read: Transcript | None, failure: StoreError | None, *, may_read: bool
) -> dict[str, Any]:
    """Return the ETag, the size, the expiry and the document that the store has, for the page."""
    if isinstance(failure, StoreCorrupt):
        return {"etag": failure.etag, "size": len(failure.raw)}
    if read is None or read.snapshot is None or read.snapshot.state is None:
        return {}
    document = read.snapshot.state
    return {
        "etag": read.snapshot.etag,
        "expires_at": read.snapshot.expires_at,
        "size": len(encode(document)),
        "raw": shown_json(document.model_dump(mode="json")) if may_read else None,
    }


def store_in_words() -> str:
    """Return the name of the store that has the conversations."""
    if settings.CHAT_STATE_STORE == "redis":
        return "the service's own Redis"
    return f"Dapr state store “{settings.DAPR_STATE_STORE_NAME}”"


def state_in_words(row: Conversation) -> str:
    """Return the state of a conversation."""
    if row.deletion_pending:
        return "Deleted; waits for the store"
    if not row.active:
        return "Deleted"
    if row.corrupt:
        return "Corrupt"
    if row.expires_at is not None and row.expires_at <= timezone.now():
        return "Expired"
    return "Active"


class ExportPage(_ConversationPage):
    """All of a conversation as JSON, as its user gets it."""

    title = "Export"

    def get(self, request: HttpRequest) -> HttpResponse:
        read = transcript.read(self.key, self.deadline)
        if read is None:
            raise StoreMissing()
        if read.failure is not None:
            raise read.failure  # a part of it would be taken for the whole
        self.record("Exported the conversation.")
        return export_answer(self.key, read)


class RawPage(_ConversationPage):
    """The stored document as a file; if it can't be read, its bytes."""

    title = "Stored document"

    def get(self, request: HttpRequest) -> HttpResponse:
        try:
            raw = encode(conversation_repository().get(self.key, self.deadline.at).state)
        except StoreCorrupt as corrupt:
            raw = corrupt.raw
        self.record("Downloaded the stored document.")
        return as_attachment(HttpResponse(raw), "stored-document.json")
