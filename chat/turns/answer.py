"""A turn from its acceptance to its answer, in six steps.

accept (1), read_history (2), the assistant (3), finish (4), store_turn (5 and 6).
"""

from collections.abc import Generator, Sequence

from django.conf import settings

from chat.assistant import configured_assistant
from chat.conversations.state import MessageEntry
from chat.errors import ModelFailed, TurnConflict
from chat.live.local import under_way
from chat.live.waiting import Steps, take
from chat.live.words import Stopped, Words
from chat.models import Turn
from chat.tools.toolbox import Toolbox
from chat.turns.accept import Accepted, ChatRequest, accept
from chat.turns.finish import finish
from chat.turns.flush import flush_answered
from chat.turns.reading import read_history
from chat.turns.store import store_turn

STORING_SECONDS_MAX = 5.0  # of the turn's time, kept for storing it


def answer(request: ChatRequest) -> Turn:
    """Answer a message; return the turn with its reply.

    Raises:
        ModelFailed, ModelTimeout: no reply; the message is kept.
        TurnConflict: see accept; or the conversation was deleted meanwhile.
        RateLimited: too many of this user's messages are being answered.
    """
    accepted = accept(request)
    if accepted.is_answered:
        flush_answered(accepted.turn, accepted.conversation)
    else:
        take(answer_accepted(accepted, Words(accepted.turn)))
    return accepted.turn


def answer_accepted(accepted: Accepted, words: Words) -> Steps[None]:
    """Take the steps after the first; see answer. `words` tell what is said meanwhile."""
    failure: BaseException | None = None
    try:
        with under_way(words):
            yield from _answer(accepted, words)
    except BaseException as error:
        failure = error
        raise
    finally:
        words.end(failure)


def _answer(accepted: Accepted, words: Words) -> Steps[None]:
    turn, failure = accepted.turn, None
    try:
        history = read_history(accepted)
        try:
            turn.reply = yield from _reply(accepted, history, words)
            words.say(turn.reply)
        except Stopped:
            turn.reply, turn.stopped = words.reply, True
        except ModelFailed as error:
            failure = error
        finish(turn, failure, accepted.conversation.deadline)
        if not turn.degraded:
            store_turn(accepted)
    except TurnConflict:
        raise
    except Exception:
        turn.release()
        raise
    if failure is not None:
        failure.degraded = turn.degraded
        raise failure


def _reply(accepted: Accepted, history: Sequence[MessageEntry], words: Words) -> Steps[str]:
    turn = accepted.turn
    for_storing = min(STORING_SECONDS_MAX, settings.CHAT_TURN_SECONDS / 5)
    deadline = accepted.conversation.deadline.earlier(for_storing)
    said = configured_assistant().answer(history, turn.message, Toolbox(turn, words), deadline)
    return (yield from said) if isinstance(said, Generator) else said
