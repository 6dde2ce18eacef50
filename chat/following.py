"""Turns that are followed while they are answered, and outlive the request that began them."""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone

from chat.errors import ChatError, NotFound, TurnConflict
from chat.live.elsewhere import WordsElsewhere
from chat.live.under_way import words_of
from chat.live.waiting import take
from chat.live.words import Words
from chat.models import Turn
from chat.turns.accept import TURN_IN_PROGRESS, Accepted, ChatRequest, accept
from chat.turns.answer import answer_accepted
from chat.turns.flush import flush_answered

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Following:
    """A turn that is followed. `turn_is_over`: what its request began is done."""

    words: Words | WordsElsewhere
    turn_is_over: "Future[None]"


def follow(request: ChatRequest) -> Following:
    """Have a message answered, whether its client stays or leaves; or follow the turn it repeats.

    A server that stops waits for the turns, until it loses patience and kills them: a row is then
    what it is after any SIGKILL.

    Raises:
        TurnConflict, RateLimited, DatabaseBusy: see accept. One that is under way is no conflict.
    """
    over: Future[None] = Future()
    over.set_result(None)
    try:
        accepted = accept(request)
    except TurnConflict as conflict:
        if conflict.code != TURN_IN_PROGRESS:
            raise
        turns = Turn.objects.filter(user_id=request.user_id)
        turn = turns.filter(idempotency_key=request.idempotency_key).first()
        if turn is None:
            raise TurnConflict() from None
        return Following(words_of(turn.pk) or WordsElsewhere(turn), over)
    words = Words(accepted.turn, is_followed=True)
    if accepted.is_answered:
        flush_answered(accepted.turn, accepted.conversation)
        words.end()
        return Following(words, over)
    return Following(words, _threads().submit(copy_context().run, _answer, accepted, words))


def _answer(accepted: Accepted, words: Words) -> None:
    close_old_connections()
    try:
        take(answer_accepted(accepted, words))
    except ChatError:
        pass  # those who follow are told
    except Exception:
        logger.exception("turn %s failed", accepted.turn.id)
    finally:
        close_old_connections()


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    # No daemons: the process is to wait for them. They last, and with them their connections.
    return ThreadPoolExecutor(settings.CHAT_MAX_TURNS_PER_PROCESS, "turn")


def stop(user_id: str, conversation_id: str, turn_id: str) -> Turn:
    """Let the turn's words end where they are, if it is under way; return it as it is then.

    The process that answers it looks for this mark (chat.live.under_way).

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
