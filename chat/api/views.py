"""POST /api/{user_id}/chat. Contract: dapr-state-chat.md, "Application API"."""

import json
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.log import log_response
from rest_framework.request import Request
from rest_framework.views import APIView

from chat.api.answers import json_answer, turn_as_json
from chat.api.authentication import BearerAuthentication, ChatPrincipal, NotForgotten, OwnPath
from chat.api.parsing import ChatBody, read_body, read_idempotency_key
from chat.api.slots import turns
from chat.api.streams import EVENT_STREAM, EventStream, event_response
from chat.api.throttles import check_rate
from chat.following import Following, begin, follow, stop
from chat.live import waiting
from chat.live.remote import RemoteWords
from chat.live.waiting import Steps
from chat.live.words import Words
from chat.models import Turn
from chat.turns.accept import ChatRequest
from chat.turns.answer import answer
from common.deferred import TAKES_DEFERRED, DeferredResponse
from common.json_answers import json_response


class Begun(NamedTuple):
    """A turn that was begun in a slot."""

    following: Following
    give_back: Callable[[Any], None]


Begin = Callable[[ChatRequest], Following]
Respond = Callable[[Begun], HttpResponseBase]


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
            return self._begin(follow, self._stream)
        if TAKES_DEFERRED in request._request.META:
            return self._begin(begin, self._later)
        with turns.one():
            turn = answer(self._read())
        return json_answer(turn_as_json(turn), degraded=turn.degraded)

    def _begin(self, begin: Begin, respond: Respond) -> HttpResponseBase:
        """Have the message answered; where the server can wait, it waits for a slot first."""
        if TAKES_DEFERRED not in self.request._request.META:
            return respond(_begin_in(turns.take(), begin, self._read))
        if slot := turns.take_if_free():
            return respond(_begin_in(slot, begin, self._read))
        begun = waiting.begin(_begin_in_order(begin, self._read()))
        return DeferredResponse(begun, partial(self._respond, begun, respond))

    def _respond(self, begun: "Future[Begun]", respond: Respond) -> HttpResponseBase:
        error = begun.exception()
        return respond(begun.result()) if error is None else self._failed(error)

    def _later(self, begun: Begun) -> DeferredResponse:
        """Answer when the turn is over; until then no thread is held."""
        over = begun.following.turn_is_over
        over.add_done_callback(begun.give_back)
        return DeferredResponse(over, partial(self._outcome, begun.following.words))

    def _stream(self, begun: Begun) -> HttpResponseBase:
        """Answer with events, after all that may be refused."""
        # Whichever is over last: under WSGI, the stream holds a thread of the server.
        over = partial(begun.following.turn_is_over.add_done_callback, begun.give_back)
        return event_response(EventStream(begun.following.words, self._as_error, over))

    def _outcome(self, words: Words | RemoteWords) -> HttpResponse:
        if words.failure is None:
            return json_answer(turn_as_json(words.turn), degraded=words.turn.degraded)
        return self._failed(words.failure)

    def _failed(self, error: BaseException) -> HttpResponse:
        """Return the answer to an error that came when Django had done its part, and log it."""
        response, request = self._error_response(error), self.request._request
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


def _begin_in_order(begin: Begin, request: ChatRequest) -> Steps[Begun]:
    slot = yield turns.take_in_order(request.user_id)
    return _begin_in(slot, begin, lambda: request)


def _begin_in(slot: Callable[[], None], begin: Begin, read: Callable[[], ChatRequest]) -> Begun:
    """Have a message answered; the slot is given back at once if it is refused."""
    try:
        return Begun(begin(read()), lambda _: slot())
    except BaseException:
        slot()
        raise


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
