"""The clock of the server steps back by an hour."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from chat.api import throttles
from chat.errors import RateLimited, TurnConflict
from chat.models import Conversation, Turn
from chat.turns import accept as accepting
from chat.turns.accept import ChatRequest, accept
from chat.turns.flush import flush_all
from tests.chat.drive import ALICE, ask, contents, document

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)
REQUEST = ChatRequest(ALICE, "hello", "c1", "key-1")


@pytest.fixture
def shift(monkeypatch) -> Callable[[timedelta], None]:
    """Call it to set the wall clock; the monotonic one goes on."""
    real, offset = timezone.now, timedelta()

    def move(by: timedelta) -> None:
        nonlocal offset
        offset += by

    monkeypatch.setattr(timezone, "now", lambda: real() + offset)
    return move


def test_step_back__a_turn_whose_process_died_is_taken_up_when_its_time_is_over(shift, settings):
    accept(REQUEST)  # and its process dies
    shift(-HOUR)
    for _ in range(2):
        with pytest.raises(TurnConflict) as caught:
            accept(REQUEST)
        assert caught.value.code == "turn_in_progress"
        assert caught.value.retry_after_seconds <= accepting.REPEAT_SECONDS_MAX
        shift(timedelta(seconds=settings.CHAT_TURN_SECONDS / 2))
    shift(timedelta(seconds=6))
    assert ask("hello", idempotency_key="key-1").reply


def test_step_back__a_turn_whose_process_died_is_flushed(shift):
    accept(REQUEST)
    shift(-HOUR)
    assert flush_all() == (0, 0)
    shift(timedelta(seconds=36))
    assert flush_all() == (1, 0)
    assert contents() == ["hello"]


def test_step_back__turns_whose_processes_died_leave_room_for_others(shift, settings):
    settings.CHAT_MAX_TURNS_PER_USER = 1
    accept(REQUEST)
    shift(-HOUR)
    with pytest.raises(RateLimited):
        ask("another")
    shift(timedelta(seconds=36))
    assert ask("another").reply


def test_step_back__a_flush_that_died_does_not_keep_others_out(shift, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("chat.turns.answer.store_turn", lambda accepted: None)
        ask("hello")
    Conversation.objects.update(lease_until=timezone.now() + timedelta(seconds=30), lease_token="x")
    shift(-HOUR)
    assert flush_all() == (0, 1)
    shift(timedelta(seconds=311))
    assert flush_all() == (1, 0)


def test_step_back__a_turn_under_way_keeps_its_lease(shift, monkeypatch):
    def answer(*arguments: object) -> str:
        shift(-HOUR)
        with pytest.raises(TurnConflict):
            accept(REQUEST)
        flush_all()
        return "the reply"

    monkeypatch.setattr("chat.assistant.builtin.BuiltinAssistant.answer", answer)
    assert ask("hello", idempotency_key="key-1").reply == "the reply"
    assert Turn.objects.get().state == Turn.State.STORED


def test_step_back__times_within_a_conversation_go_on(shift, monkeypatch):
    def slowly(*arguments: object) -> str:
        shift(timedelta(seconds=20))
        return "the reply"

    monkeypatch.setattr("chat.assistant.builtin.BuiltinAssistant.answer", slowly)
    for number in range(3):
        turn = ask(f"message {number}")
        assert turn.answered_at >= turn.accepted_at
        shift(-HOUR)
    state = document()
    times = [message.timestamp for message in state.messages]
    assert times == sorted(times)
    assert len(set(times)) >= 4
    assert state.updated_at >= times[-1]
    assert contents() == ["message 0", "message 1", "message 2"]


def test_step_back__retry_after_is_within_the_window(settings, monkeypatch):
    settings.CHAT_RATE_PER_MINUTE = 1
    throttles.check_rate("alice")
    real = throttles.time.time
    monkeypatch.setattr("time.time", lambda: real() - 3600)
    with pytest.raises(RateLimited) as caught:
        throttles.check_rate("alice")
    assert 1 <= caught.value.retry_after_seconds <= 60
