"""Turns that are followed while they are answered, and outlive the request that began them."""

import logging
from concurrent.futures import Future
from dataclasses import dataclass

from django.utils import timezone

from chat.errors import ChatError, NotFound, TurnConflict
from chat.live import waiting
from chat.live.local import words_of
from chat.live.remote import RemoteWords
from chat.live.waiting import Steps
from chat.live.words import Words
from chat.models import Turn
from chat.turns.accept import TURN_IN_PROGRESS, Accepted, ChatRequest, accept
from chat.turns.answer import answer_accepted
from chat.turns.flush import flush_answered

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Following:
    """A turn that is followed. `turn_is_over`: what its request began is done."""

    words: Words | RemoteWords
    turn_is_over: "Future[None]"


def follow(request: ChatRequest) -> Following:
    """Have a message answered with events, or follow the turn that it repeats.

    Raises:
        TurnConflict, RateLimited, DatabaseBusy: see accept. One that is under way is no conflict.
    """
    try:
        return begin(request, is_followed=True)
    except TurnConflict as conflict:
        if conflict.code != TURN_IN_PROGRESS:
            raise
        turns = Turn.objects.filter(user_id=request.user_id)
        turn = turns.filter(idempotency_key=request.idempotency_key).first()
        if turn is None:
            raise TurnConflict() from None
        return Following(words_of(turn.pk) or RemoteWords(turn), _over())


def begin(request: ChatRequest, *, is_followed: bool = False) -> Following:
    """Have a message answered in the background, whether its client stays or leaves.

    Raises:
        TurnConflict, RateLimited, DatabaseBusy: see accept.
    """
    accepted = accept(request)
    words = Words(accepted.turn, is_followed=is_followed)
    if accepted.is_answered:
        flush_answered(accepted.turn, accepted.conversation)
        words.end()
        return Following(words, _over())
    return Following(words, waiting.begin(_answer(accepted, words)))


def _answer(accepted: Accepted, words: Words) -> Steps[None]:
    try:
        yield from answer_accepted(accepted, words)
    except ChatError:
        pass  # those who follow are told
    except Exception:
        logger.exception("turn %s failed", accepted.turn.id)


def _over() -> "Future[None]":
    over: Future[None] = Future()
    over.set_result(None)
    return over


def stop(user_id: str, conversation_id: str, turn_id: str) -> Turn:
    """Let the turn's words end where they are, if it is under way; return it as it is then.

    The process that answers it looks for this mark (chat.live.local).

    Raises:
        NotFound: the user has no such turn in this conversation.
    """
    rows = Turn.objects.filter(pk=turn_id, user_id=user_id, conversation_id=conversation_id)
    under_way = rows.filter(state=Turn.State.ACCEPTED, lease_until__gt=timezone.now())
    under_way.update(stopped=True)
    turn = rows.first()
    if turn is None:
        raise NotFound("There is no such turn.")
    if words := words_of(turn_id):
        words.stop()
    return turn
