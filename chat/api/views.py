"""POST /api/{user_id}/chat. Contract: dapr-state-chat.md, "Application API"."""

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from chat.api.answers import json_answer
from chat.api.authentication import BearerAuthentication, ChatPrincipal, OwnPath
from chat.api.parsing import ChatBody, read_body, read_idempotency_key
from chat.api.slots import turn_slot
from chat.api.throttles import check_rate
from chat.conversations.state import format_timestamp
from chat.models import Turn
from chat.turns.accept import ChatRequest
from chat.turns.answer import answer


class ChatAPIView(APIView):
    """A call of the chat: it has a token, and is on the path of the token's user."""

    authentication_classes = [BearerAuthentication]
    permission_classes = [OwnPath]

    @property
    def principal(self) -> ChatPrincipal:
        """The token's user."""
        principal: Any = self.request.user
        assert isinstance(principal, ChatPrincipal)
        return principal

    @property
    def user_id(self) -> str:
        """The id of the token's user."""
        return self.principal.user_id


class ChatView(ChatAPIView):
    """Send a message."""

    http_method_names = ["post"]

    def post(self, request: Request, user_id: str) -> HttpResponse:
        """Answer it. `Idempotency-Key` makes a repeat harmless."""
        # Before the body is read: a user who holds uploads back holds no more than these let in.
        check_rate(self.user_id)
        with turn_slot():
            body = read_body(request._request, ChatBody)
            key = read_idempotency_key(request._request)
            since = self.principal.authenticated_at
            turn = answer(ChatRequest(self.user_id, body.message, body.conversation_id, key, since))
        return json_answer(_as_json(turn), degraded=turn.degraded)


def _as_json(turn: Turn) -> dict[str, Any]:
    return {
        "reply": turn.reply,
        "conversation_id": client_id(turn.conversation_id, turn.id_is_integer),
        "tool_calls": turn.tool_calls,
        "timestamp": format_timestamp(turn.answered_at or turn.accepted_at),
    }


def client_id(conversation_id: str, is_integer: bool) -> int | str:
    """Return the id in the JSON type in which the client knows it."""
    return int(conversation_id) if is_integer else conversation_id
