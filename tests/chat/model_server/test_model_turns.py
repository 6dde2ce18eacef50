"""Whole turns with models as they are."""

import json

import pytest

from chat.model_server.messages import NO_ANSWER
from chat.models import Task, Turn
from tests.chat.calls import Api
from tests.chat.drive import ask, document
from tests.chat.model_server.imitation import (
    call,
    called,
    refused,
    said,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_turn__an_empty_answer_after_the_work_says_what_was_done(server):
    api = Api()
    for number, empty in enumerate(("", None, "  ")):
        server.give(called(call(arguments={"title": f"milk {number}"})), said(empty))
        answer = api.chat("add milk", "c1", **{"Idempotency-Key": str(number)})
        assert answer.status_code == 200
        assert answer.json()["reply"] == f"I've added 'milk {number}' as task {number + 1}."
    assert api.chat("add milk", "c1", **{"Idempotency-Key": "2"}).status_code == 200
    assert Task.objects.count() == 3
    assert len(document().messages) == 6


def test_turn__a_model_that_never_stops_calling_still_has_its_work_told(server):
    server.give(*(called(call(arguments={"title": str(n)})) for n in range(9)))
    turn = ask("add many")
    assert turn.reply.count("I've added") == 7
    server.give(called(call("list_tasks", "{}")), said(""))
    assert ask("list").reply.startswith("Tasks (all):\n1. 0 (active)\n2. 1 (active)")


def test_turn__goes_on_with_a_strict_server_after_failures_and_repeats(server, settings):
    settings.CHAT_MESSAGE_WINDOW = 3
    add = called(call(id="abcDEF123"))
    server.give(add, refused(), strict=True)
    api = Api()
    assert api.chat("add milk", "c1", **{"Idempotency-Key": "k"}).status_code == 502
    server.give(said("Added."), strict=True)
    assert api.chat("add milk", "c1", **{"Idempotency-Key": "k"}).status_code == 200
    assert server.roles == "suat"
    server.give(refused(), strict=True)
    assert [api.chat(word, "c1").status_code for word in ("one", "two")] == [502, 502]
    server.give(said("Three."), strict=True)
    assert api.chat("three", "c1").json()["reply"] == "Three."
    assert server.roles == "suatauauau"
    contents = [message["content"] for message in server.sent]
    assert contents[-6:] == ["Added.", "one", NO_ANSWER, "two", NO_ANSWER, "three"]
    assert Task.objects.count() == 1
    assert Turn.objects.count() == 4


def test_turn__more_calls_than_a_turn_may_make_are_refused_one_by_one(server):
    many = (call(arguments={"title": str(n)}, id=str(n)) for n in range(40))
    server.give(called(*many), said(), strict=True)
    results = [one["result"]["success"] for one in ask("add many").tool_calls]
    assert results == [True] * 32 + [False]
    assert server.roles == "sua" + "t" * 33


def test_turn__numbers_of_tasks_as_models_write_them(server):
    for title in "abcd":
        ask_for = called(call(arguments={"title": title}))
        server.give(ask_for, said())
        ask(f"add {title}")
    server.give(
        called(
            call("complete_task", {"task_id": "1"}),
            call("complete_task", {"task_id": 2.0}),
            call("complete_task", {"task_id": "3.5"}),
            call("complete_task", {"task_id": True}),
            call("list_tasks", {"filter": None}),
            call("update_task", {"task_id": 4, "title": "e", "description": None}),
        ),
        said(),
    )
    calls = ask("go").tool_calls
    assert [one["result"]["success"] for one in calls] == [True, True, False, False, True, True]
    assert [one["parameters"] for one in calls[:2]] == [{"task_id": 1}, {"task_id": 2}]
    for refusal in calls[2:4]:
        assert "must be the task's number, such as 3" in refusal["result"]["error"]
        assert "The parameters are: task_id." in refusal["result"]["error"]


def test_turn__numbers_written_as_text_wait_for_the_users_word_too(server):
    for title in "ab":
        server.give(called(call(arguments={"title": title})), said())
        ask(f"add {title}")
    server.give(
        called(call("delete_task", {"task_id": "1"})),
        called(call("delete_task", {"task_id": "2"})),
        said(),
    )
    assert 'Say "yes" to delete them:\n2. b' in ask("clean up").reply
    assert list(Task.objects.values_list("number", flat=True)) == [2]


def test_turn__long_lists_again_and_again_stay_within_what_the_model_takes(server, settings):
    settings.CHAT_CONTEXT_BYTES = 65_536
    Task.objects.bulk_create(Task(user_id="alice", number=n, title="ж" * 80) for n in range(1, 401))
    for _ in range(4):
        server.give(called(call("list_tasks", "{}")), said("Listed."), max_bytes=75_000)
        assert ask("list my tasks").reply == "Listed."
        assert len(server.requests) == 2
    assert len(json.dumps(server.sent, ensure_ascii=False).encode()) > 32_768
