"""A database that is busy when the model has replied: the reply is kept."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection

from chat.assistant.builtin import BuiltinAssistant
from chat.locks import user_transaction
from chat.models import Turn
from common.database import busy
from tests.chat.drive import ALICE, ask, contents, flushed, hooked

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("chat_store")]

HELD_SECONDS = 0.7


@pytest.fixture
def hold(monkeypatch) -> Callable[[], None]:
    """Hold the locks of the user and of their turns for longer than they are waited for once."""
    monkeypatch.setattr(busy, "WAIT_SECONDS", 0.2)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '200ms'")

    def hold_for_a_while(is_held: threading.Event) -> None:
        with user_transaction(ALICE):
            list(Turn.objects.filter(user_id=ALICE).select_for_update())
            is_held.set()
            threading.Event().wait(HELD_SECONDS)
        connection.close()

    def begin() -> None:
        is_held = threading.Event()
        threading.Thread(target=hold_for_a_while, args=[is_held]).start()
        assert is_held.wait(10)

    yield begin
    connection.close()


def test_reply__waits_for_a_busy_database(hold, monkeypatch):
    answer = BuiltinAssistant.answer

    def answer_and_hold(*arguments: object) -> str:
        reply = answer(*arguments)
        hold()
        return reply

    monkeypatch.setattr(BuiltinAssistant, "answer", answer_and_hold)
    turn = ask("Add task: Buy milk")
    assert "Buy milk" in turn.reply
    assert Turn.objects.get().reply == turn.reply


def test_reply__is_given_though_the_database_is_busy_afterwards(hold, monkeypatch):
    with hooked(monkeypatch) as repository:
        repository.before["save"] = [hold]
        turn = ask("Add task: Buy milk")
    assert "Buy milk" in turn.reply and turn.degraded
    flushed()
    assert contents() == ["Add task: Buy milk"]
    assert Turn.objects.get().state == Turn.State.STORED
