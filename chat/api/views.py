"""POST /api/{user_id}/chat. Contract: dapr-state-chat.md, "Application API"."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.log import log_response
from rest_framework.request import Request
from rest_framework.views import APIView

from chat.api.answers import json_answer, turn_as_json
from chat.api.authentication import BearerAuthentication, ChatPrincipal, NotForgotten, OwnPath
from chat.api.parsing import ChatBody, read_body, read_idempotency_key
from chat.api.slots import take_turn_slot, turn_slot
from chat.api.streams import EVENT_STREAM, EventStream, event_response
from chat.api.throttles import check_rate
from chat.following import Following, begin, follow, stop
from chat.live.elsewhere import WordsElsewhere
from chat.live.words import Words
from chat.models import Turn
from chat.turns.accept import ChatRequest
from chat.turns.answer import answer
from common.deferred import TAKES_DEFERRED, DeferredResponse
from common.json_answers import json_response


class ChatAPIView(APIView):
    """A call of the chat: it has a token, and is on the path of the token's user."""

    authentication_classes = [BearerAuthentication]
    permission_classes = [NotForgotten, OwnPath]

    @property
    def principal(self) -> ChatPrincipal:
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
    permission_classes = [OwnPath]  # `accept` reads the user's row anyhow, and checks it there

    def post(self, request: Request, user_id: str) -> HttpResponseBase:
        """Answer it. `Idempotency-Key` makes a repeat harmless."""
        # Before the body is read: a user who holds uploads back holds no more than these let in.
        check_rate(self.user_id)
        kinds = ["application/json", EVENT_STREAM]
        if request._request.get_preferred_type(kinds) == EVENT_STREAM:
            return self._stream()
        if TAKES_DEFERRED in request._request.META:
            return self._later()
        with turn_slot():
            turn = answer(self._read())
        return json_answer(turn_as_json(turn), degraded=turn.degraded)

    def _later(self) -> DeferredResponse:
        """Answer when the turn is over; until then no thread is held."""
        give_back, following = self._begin(begin)
        following.turn_is_over.add_done_callback(give_back)
        return DeferredResponse(following.turn_is_over, partial(self._outcome, following.words))

    def _outcome(self, words: Words | WordsElsewhere) -> HttpResponse:
        if words.failure is None:
            return json_answer(turn_as_json(words.turn), degraded=words.turn.degraded)
        response = self._error_response(words.failure)
        request = self.request._request
        log_response(
            "%s: %s", response.reason_phrase, request.path, response=response, request=request
        )
        return response

    def _read(self) -> ChatRequest:
        body = read_body(self.request._request, ChatBody)
        key = read_idempotency_key(self.request._request)
        who = self.principal
        return ChatRequest(
            *(who.user_id, body.message, body.conversation_id, key),
            asked_at=who.authenticated_at,
            issued_at=who.issued_at,
        )

    def _stream(self) -> HttpResponseBase:
        """Answer with events, after all that may be refused."""
        give_back, following = self._begin(follow)
        # Whichever is over last: under WSGI, the stream holds a thread of the server.
        over = partial(following.turn_is_over.add_done_callback, give_back)
        return event_response(EventStream(following.words, self._as_error, over))

    def _begin(
        self, begin: Callable[[ChatRequest], Following]
    ) -> tuple[Callable[[Any], None], Following]:
        """Take a slot, and have the message answered; return also what gives the slot back."""
        give_back = take_turn_slot()
        try:
            return lambda _: give_back(), begin(self._read())
        except BaseException:
            give_back()
            raise

    def _error_response(self, error: BaseException) -> HttpResponse:
        """Return the JSON answer to the error, which was logged if it was not expected."""
        response = self.get_exception_handler()(error, self.get_exception_handler_context())
        if response is None:
            detail = "An unexpected error; the server's log has it."
            return json_response({"detail": detail, "code": "server_error"}, status=500)
        assert isinstance(response, HttpResponse)
        return response

    def _as_error(self, error: BaseException) -> dict[str, Any]:
        """Return what the JSON answer to the error says, and its status."""
        response = self._error_response(error)
        return {"status": response.status_code, **json.loads(response.content)}


class StopView(ChatAPIView):
    """Stop a turn."""

    http_method_names = ["post"]

    def post(
        self, request: Request, user_id: str, conversation_id: str, turn_id: str
    ) -> HttpResponse:
        """End the words of a turn that is under way; of another one nothing changes."""
        turn = stop(self.user_id, conversation_id, turn_id)
        return json_answer({"turn_id": turn.id, "status": _status(turn)})


def _status(turn: Turn) -> str:
    if turn.state == Turn.State.ACCEPTED:
        return "stopping" if turn.stopped else "failed"
    if turn.reply is None:
        return "failed"
    return "stopped" if turn.stopped else "answered"
