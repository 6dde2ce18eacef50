"""Conversations beside the chat itself: list, read, rename, delete, export."""

from typing import Any

from django.conf import settings
from django.http import HttpResponse
from rest_framework.request import Request

from chat.api.answers import client_id, json_answer, no_content
from chat.api.parsing import RenameBody, check_conversation_id, read_body, read_limit, read_search
from chat.api.slots import read_slot, turns
from chat.api.views import ChatAPIView
from chat.conversations.state import ConversationKey, format_timestamp
from chat.deadline import Deadline
from chat.errors import InvalidInput, NotFound
from chat.models import Conversation
from chat.turns import index, transcript
from chat.turns.deletion import delete_conversation
from chat.turns.transcript import Transcript

PAGE_DEFAULT = 50
PAGE_MAX = 200


class ConversationsView(ChatAPIView):
    """The user's conversations."""

    http_method_names = ["get"]

    def get(self, request: Request, user_id: str) -> HttpResponse:
        """Newest first. `?limit=`, `?cursor=` of the page before, `?search=` in titles."""
        limit = read_limit(request._request, PAGE_DEFAULT, PAGE_MAX)
        search = read_search(request._request)
        rows, next_cursor = index.list_page(self.user_id, limit, request.GET.get("cursor"), search)
        return json_answer(
            {
                "conversations": [_described(row) for row in rows],
                "has_more": next_cursor is not None,
                "next_cursor": next_cursor,
            }
        )


class _OneConversationView(ChatAPIView):
    @property
    def key(self) -> ConversationKey:
        """The conversation of the path."""
        try:
            check_conversation_id(self.kwargs["conversation_id"])
        except ValueError as error:
            raise InvalidInput(
                f"The conversation id {error}.", code="invalid_conversation_id"
            ) from None
        return ConversationKey(self.user_id, self.kwargs["conversation_id"])

    def read(self) -> Transcript:
        """The conversation, or a 404."""
        found = transcript.read(self.key, Deadline(settings.CHAT_TURN_SECONDS))
        if found is None:
            raise NotFound()
        return found


class ConversationView(_OneConversationView):
    """One conversation."""

    http_method_names = ["patch", "delete"]

    def patch(self, request: Request, user_id: str, conversation_id: str) -> HttpResponse:
        """Rename it, {"title": "..."}; no message changes the title from then on."""
        with turns.one():  # an upload that is held back holds no more threads than messages do
            body = read_body(request._request, RenameBody)
        row = index.rename(self.key, body.title)
        if row is None:
            with read_slot():
                self.read()  # which enters into the index what only the store has
            row = index.rename(self.key, body.title)
        if row is None:
            raise NotFound()
        return json_answer(_described(row))

    def delete(self, request: Request, user_id: str, conversation_id: str) -> HttpResponse:
        """Delete it. While the store is away that is noted, and carried out later (degraded)."""
        with read_slot():
            done = delete_conversation(self.key, Deadline(settings.CHAT_TURN_SECONDS))
        return no_content(degraded=not done)


class MessagesView(_OneConversationView):
    """The messages of a conversation."""

    http_method_names = ["get"]

    def get(self, request: Request, user_id: str, conversation_id: str) -> HttpResponse:
        """The newest page, oldest message first. `?before=` the cursor of a page, `?limit=`."""
        limit = read_limit(request._request, PAGE_DEFAULT, PAGE_MAX)
        with read_slot():
            return self._page(limit, request.GET.get("before"))

    def _page(self, limit: int, before: str | None) -> HttpResponse:
        found = self.read()
        page = transcript.page(found.state, limit, before)
        return json_answer(
            {
                "conversation_id": client_id(self.key.conversation_id, found.id_is_integer),
                "title": found.title,
                "messages": [found.as_json(message) for message in page.messages],
                "has_more": page.next_cursor is not None,
                "next_cursor": page.next_cursor,
            },
            degraded=found.degraded,
        )


class ExportView(_OneConversationView):
    """A conversation as a file."""

    http_method_names = ["get"]

    def get(self, request: Request, user_id: str, conversation_id: str) -> HttpResponse:
        """All of it, or a 503: half of it would pass for the whole."""
        with read_slot():
            return self._file()

    def _file(self) -> HttpResponse:
        found = self.read()
        if found.failure is not None:
            raise found.failure
        return export_answer(self.key, found)


def export_answer(key: ConversationKey, found: Transcript) -> HttpResponse:
    """Return all of a conversation as a file."""
    state = found.state
    response = json_answer(
        {
            "conversation_id": client_id(key.conversation_id, found.id_is_integer),
            "user_id": key.user_id,
            "title": found.title,
            "created_at": format_timestamp(state.created_at),
            "updated_at": format_timestamp(state.updated_at),
            "messages": [found.as_json(message) for message in state.messages],
        }
    )
    response.headers["Content-Disposition"] = 'attachment; filename="conversation.json"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _described(row: Conversation) -> dict[str, Any]:
    return {
        "conversation_id": client_id(row.conversation_id, row.id_is_integer),
        "title": row.title,
        "message_count": row.message_count,
        "created_at": format_timestamp(row.created_at),
        "updated_at": format_timestamp(row.updated_at),
        "expires_at": format_timestamp(row.expires_at) if row.expires_at else None,
    }
