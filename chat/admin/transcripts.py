"""A conversation as it reads: its page, and the ways in which it leaves as a file."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from chat.admin.lists import VIEW, state_in_words
from chat.admin.pages import ChatPage, in_words, status_of
from chat.admin.rendering import Shown, shown_json, shown_text
from chat.admin.replay import can_replay
from chat.api.conversation_views import export_answer
from chat.conversations.history import split_turns
from chat.conversations.state import MessageEntry, encode
from chat.errors import StoreCorrupt, StoreError, StoreMissing
from chat.models import Conversation, Quarantine, Turn
from chat.repository import conversation_repository
from chat.turns import transcript
from chat.turns.transcript import Transcript

MESSAGES_A_PAGE = 40
STATUS_IN_WORDS = {
    "stored": "Stored",
    "waiting": "Waiting for the store",
    "under way": "Being answered",
    "not known": "Not known: what is stored can't be read",
    "dead letter": "Dead letter: the store refuses it",
}


@dataclass(frozen=True, slots=True)
class ShownCall:
    """A call of a tool."""

    tool: str
    parameters: Shown
    result: Shown


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A message."""

    by: str
    role: str
    at: datetime
    content: Shown
    calls: list[ShownCall]


@dataclass(frozen=True, slots=True)
class ShownTurn:
    """The messages of a turn, and where it stands. `row` None: it is known from the store alone."""

    messages: list[ShownMessage]
    status: str
    status_in_words: str
    row: Turn | None


class TranscriptPage(ChatPage):
    """The conversation as a chat, oldest message first, and beside it what is known of it."""

    permissions = (VIEW,)
    title = "Conversation"
    template = "admin/chat/conversation.html"
    model = Conversation
    http_method_names = ["get"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """The newest messages; `?before=` those before a cursor."""
        read, failure = self._read()
        page = None
        if read is not None:
            page = transcript.page(read.state, MESSAGES_A_PAGE, request.GET.get("before"))
        row = Conversation.objects.get(pk=self.found.pk)  # reading may have mended it
        context = {
            "found": row,
            "turns": self._turns(read, page.messages if page else []),
            "older": page.next_cursor if page else None,
            "before": request.GET.get("before"),
            "failure": in_words(failure) if failure else "",
            "copies": Quarantine.objects.of(self.key).defer("content_base64")[:10],
            "waiting": self.waiting_turns.count(),
            "dead_letters": Turn.objects.of(self.key).dead_letters().count(),
            "store": store_in_words(),
            "state": state_in_words(row),
            **_stored(read, failure),
            "is_corrupt": isinstance(failure, StoreCorrupt),
            # What could do nothing is not offered.
            "can_replay": can_replay(self.key, row) and not isinstance(failure, StoreCorrupt),
            "can_export": read is not None and failure is None,
            "can_delete": row.active or read is not None,
        }
        is_away = failure is not None and not isinstance(failure, StoreCorrupt)
        return self.render(context, status=status_of(failure) if failure and is_away else 200)

    def _read(self) -> tuple[Transcript | None, StoreError | None]:
        try:
            read = transcript.read(self.key, self.deadline)
        except StoreError as failure:
            return None, failure
        return read, read.failure if read else None

    def _turns(self, read: Transcript | None, messages: list[MessageEntry]) -> list[ShownTurn]:
        if read is None:
            return []
        ids = {message.turn_id for message in messages if message.turn_id}
        rows = Turn.objects.of(self.key).in_bulk(ids)
        return [
            _shown(turn, _status(turn[0].turn_id, read), rows) for turn in split_turns(messages)
        ]


def _status(turn_id: str | None, read: Transcript) -> str:
    status = read.status.get(turn_id or "", transcript.STORED)
    lost = status == transcript.STORED and isinstance(read.failure, StoreCorrupt)
    return "not known" if lost else status


def _shown(turn: list[MessageEntry], status: str, rows: dict[Any, Turn]) -> ShownTurn:
    return ShownTurn(
        [
            ShownMessage(
                by="User" if message.role == "user" else "Assistant",
                role=message.role,
                at=message.timestamp,
                content=shown_text(message.content),
                calls=[
                    ShownCall(call.tool, shown_json(call.parameters), shown_json(call.result))
                    for call in message.tool_calls or []
                ],
            )
            for message in turn
        ],
        status,
        STATUS_IN_WORDS[status],
        rows.get(turn[0].turn_id),
    )


def _stored(read: Transcript | None, failure: StoreError | None) -> dict[str, Any]:
    """What the store has: its ETag, size and expiry, and the beginning of the raw document."""
    if isinstance(failure, StoreCorrupt):
        return {"etag": failure.etag, "size": len(failure.raw)}
    if read is None or read.snapshot is None or read.snapshot.state is None:
        return {}
    document = read.snapshot.state
    return {
        "document": document,
        "etag": read.snapshot.etag,
        "expires_at": read.snapshot.expires_at,
        "size": len(encode(document)),
        "raw": shown_json(document.model_dump(mode="json")),
    }


def store_in_words() -> str:
    """Return which store conversations are in."""
    if settings.CHAT_STATE_STORE == "redis":
        return "the service's own Redis"
    return f"Dapr state store “{settings.DAPR_STATE_STORE_NAME}”"


class ExportPage(ChatPage):
    """All of a conversation as JSON, as its user gets it."""

    permissions = (VIEW,)
    title = "Export"
    model = Conversation
    http_method_names = ["get"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """The file, or a page that says why not: half of it would pass for the whole."""
        read = transcript.read(self.key, self.deadline)
        if read is None:
            raise StoreMissing()
        if read.failure is not None:
            raise read.failure
        self.record("Exported the conversation.")
        return export_answer(self.key, read)


class RawPage(ChatPage):
    """The stored document itself."""

    permissions = (VIEW,)
    title = "Stored document"
    model = Conversation
    http_method_names = ["get"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """The file; also what is no conversation, as the bytes that are there."""
        try:
            raw = encode(conversation_repository().get(self.key, self.deadline.at).state)
        except StoreCorrupt as corrupt:
            raw = corrupt.raw
        self.record("Downloaded the stored document.")
        return attachment(raw, "stored-document.json")


def attachment(raw: bytes, name: str) -> HttpResponse:
    """Return bytes to be saved, never to be opened in place."""
    response = HttpResponse(raw, content_type="application/octet-stream")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
