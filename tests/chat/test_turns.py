"""A turn through its six steps."""

import pytest

from chat.models import Conversation, Task, Turn
from tests.chat.drive import ask, as_json, contents, document, hooked

pytestmark = pytest.mark.django_db(transaction=True)


def test_turn__is_answered_and_stored():
    turn = ask("Add task: Buy groceries")
    assert turn.reply == "I've added 'Buy groceries' to your task list, as number 1."
    assert turn.tool_calls[0]["tool"] == "add_task"
    assert turn.tool_calls[0]["parameters"] == {"title": "Buy groceries"}
    assert turn.tool_calls[0]["result"]["task_id"] == 1
    assert not turn.degraded
    assert Turn.objects.get().state == Turn.State.STORED
    state = document()
    assert [(m.role, m.content) for m in state.messages] == [
        ("user", "Add task: Buy groceries"),
        ("assistant", turn.reply),
    ]
    assert {m.turn_id for m in state.messages} == {turn.id}
    assert as_json()["messages"][1]["tool_calls"][0]["result"]["task_id"] == 1
    assert Task.objects.get().title == "Buy groceries"
    row = Conversation.objects.get()
    assert (row.title, row.message_count) == ("Add task: Buy groceries", 2)


def test_turn__costs_one_get_and_one_save(monkeypatch):
    ask("hello")
    with hooked(monkeypatch) as repository:
        ask("hello again")
    assert repository.calls == ["get", "save"]
    assert contents() == ["hello", "hello again"]


def test_new_conversation__gets_an_integer_that_was_never_used():
    ask("hello", 2)
    first, second = ask("hello", None), ask("hello", None)
    assert (first.conversation_id, second.conversation_id) == ("1", "3")
