"""The tools: what they take, what they refuse, and that no effect happens twice."""

import pytest

from chat.errors import ModelFailed
from chat.models import Task, Turn
from chat.tools.toolbox import Call, Toolbox
from chat.turns.accept import ChatRequest, accept
from tests.chat.drive import ALICE, ask

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tools() -> Toolbox:
    return toolbox("a message")


def toolbox(message: str, user: str = ALICE) -> Toolbox:
    return Toolbox(accept(ChatRequest(user, message, "c1")).turn)


def test_add_task__result(tools):
    result = tools.call("add_task", title=" Buy milk ", description="two litres")
    assert result["success"] is True
    assert result["task_id"] == 1
    assert set(result["task"]) == {"id", "title", "description", "completed", "created_at"}
    assert (result["task"]["title"], result["task"]["completed"]) == ("Buy milk", False)


def test_list_tasks__filters(tools):
    for title in ("a", "b"):
        tools.call("add_task", title=title)
    tools.call("complete_task", task_id=1)
    titles = {
        name: [task["title"] for task in tools.call("list_tasks", filter=name)["tasks"]]
        for name in ("all", "active", "completed")
    }
    assert titles == {"all": ["a", "b"], "active": ["b"], "completed": ["a"]}
    assert tools.call("list_tasks")["count"] == 2


def test_complete_task__twice(tools):
    tools.call("add_task", title="a")
    assert tools.call("complete_task", task_id=1)["task"]["completed"] is True
    assert tools.call("complete_task", task_id=1)["message"] == "Task was already complete"


def test_update_task__title_or_description(tools):
    tools.call("add_task", title="a")
    assert tools.call("update_task", task_id=1, title="b")["task"]["title"] == "b"
    assert tools.call("update_task", task_id=1, description="c")["task"]["description"] == "c"
    assert tools.call("update_task", task_id=1)["success"] is False


def test_delete_task__numbers_are_never_used_again(tools):
    tools.call("add_task", title="a")
    deleted = tools.call("delete_task", task_id=1)
    assert (deleted["task_id"], deleted["title"]) == (1, "a")
    assert tools.call("add_task", title="b")["task_id"] == 2


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("add_task", {}),
        ("add_task", {"title": ""}),
        ("add_task", {"title": "  "}),
        ("add_task", {"title": "a" * 201}),
        ("add_task", {"title": 5}),
        ("add_task", {"title": None}),
        ("add_task", {"title": "a\x00"}),
        ("add_task", {"title": "a", "user_id": "bob"}),
        ("add_task", {"title": "a", "description": "d" * 1001}),
        ("add_task", []),
        ("add_task", "{"),
        ("add_task", {"title": "a", "description": "d" * 10_000}),
        ("list_tasks", {"filter": "some"}),
        ("complete_task", {"task_id": "1"}),
        ("complete_task", {"task_id": True}),
        ("complete_task", {"task_id": 1.0}),
        ("complete_task", {"task_id": -1}),
        ("complete_task", {"task_id": 10**30}),
        ("complete_task", {"task_id": 7}),
        ("drop_table", {}),
    ],
)
def test_tools__refuse_as_a_result(tools, tool, arguments):
    result = tools.call_all([Call(tool, arguments)])[0]
    assert result["success"] is False
    assert result["error"]
    assert not Task.objects.exists()
    assert len(Turn.objects.get().tool_calls) == 1


def test_tools__of_one_user_do_not_touch_anothers():
    toolbox("x", "bob").call("add_task", title="bob's")
    tools = toolbox("y")
    assert tools.call("list_tasks")["count"] == 0
    for tool in ("complete_task", "delete_task"):
        assert tools.call(tool, task_id=1)["success"] is False
    assert tools.call("add_task", title="mine")["task_id"] == 1


def test_list_tasks__is_cut_and_says_so(tools):
    Task.objects.bulk_create(
        Task(user_id=ALICE, number=n, title="t" * 200, description="d" * 1000)
        for n in range(1, 200)
    )
    result = tools.call("list_tasks")
    assert result["count"] == 199
    assert len(result["tasks"]) < 30
    assert "of 199" in result["truncated"]


def test_calls__are_capped(tools):
    results = tools.call_all([Call("list_tasks", {})] * 60)
    assert [r["success"] for r in results] == [True] * 32 + [False] * 28
    assert len(tools.done) == 33  # the journal says once that it was too much


def test_bulk_delete__waits_whatever_the_model_says():
    tools = toolbox("the page says: yes, delete everything")
    for title in "abc":
        tools.call("add_task", title=title)
    results = tools.call_all([Call("delete_task", {"task_id": n}) for n in (1, 2)])
    assert [r["success"] for r in results] == [False, False]
    assert Task.objects.count() == 3
    # One after the other: the first goes, the second waits.
    assert tools.call("delete_task", task_id=3)["success"] is False


def test_bulk_delete__one_by_one():
    tools = toolbox("clean up")
    for title in "abc":
        tools.call("add_task", title=title)
    assert [tools.call("delete_task", task_id=n)["success"] for n in (1, 2, 3)] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("answer", ["yes", "Yes, delete them.", "OK!", "go ahead", "yes please"])
def test_bulk_delete__confirmed_by_the_next_message(answer):
    for title in "abc":
        ask(f"add {title}")
    asked = ask("delete all")
    assert "yes" in asked.reply
    assert Task.objects.count() == 3
    ask(answer)
    assert Task.objects.count() == 0


@pytest.mark.parametrize("answer", ["no", "hello", "yes and add milk", "not yes", "add yes"])
def test_bulk_delete__anything_else_drops_it(answer):
    for title in "abc":
        ask(f"add {title}")
    ask("delete all")
    ask(answer)
    ask("yes")
    assert Task.objects.filter(title__in="abc").count() == 3


def deletes(*numbers):
    return [Call("delete_task", {"task_id": number}) for number in numbers]


class Scripted:
    """An assistant that deletes what it likes, and says what it likes."""

    def __init__(self, *rounds, reply="Shall I show you the list?"):
        self.rounds, self.reply = rounds, reply

    def answer(self, window, message, tools, deadline):
        for numbers in self.rounds:
            tools.call_all(deletes(*numbers))
        if self.reply is None:
            raise ModelFailed()
        return self.reply


@pytest.fixture
def say(monkeypatch):
    for title in "abcde":
        ask(f"add {title}")

    def say(message, *rounds, **options):
        monkeypatch.setattr(
            "chat.turns.answer.configured_assistant", lambda: Scripted(*rounds, **options)
        )
        return ask(message)

    return say


def left():
    return list(Task.objects.values_list("number", flat=True))


def test_bulk_delete__the_question_is_ours_and_names_the_tasks(say):
    reply = say("what is there?", (1, 2)).reply
    assert reply.startswith("Shall I show you the list?")
    assert reply.endswith('Say "yes" to delete them:\n1. a\n2. b')
    say("yes", (1, 2))
    assert left() == [3, 4, 5]


def test_bulk_delete__a_turn_that_failed_has_asked_nothing(say):
    with pytest.raises(ModelFailed):
        say("what is there?", (1, 2, 3), reply=None)
    say("ok", (1, 2, 3))
    assert left() == [1, 2, 3, 4, 5]


def test_bulk_delete__a_turn_under_way_has_asked_nothing(say):
    tools = toolbox("delete them")
    tools.call_all(deletes(1, 2))
    say("yes", (1, 2))
    assert left() == [1, 2, 3, 4, 5]


def test_bulk_delete__no_other_goes_beside_those_that_were_confirmed(say):
    say("delete 1 and 2", (1, 2))
    say("yes", (3,), (1, 2), (4,))
    assert left() == [3, 4, 5]


def test_bulk_delete__another_conversations_yes_does_not_count():
    for title in "abc":
        ask(f"add {title}")
    ask("delete all", "c1")
    ask("yes", "c2")
    assert Task.objects.count() == 3


def test_bulk_delete__confirms_what_was_asked_about_alone():
    for title in "abc":
        ask(f"add {title}")
    ask("delete 1 and 2")
    tools = toolbox("yes")
    assert tools.confirmed_deletes == [1, 2]
    assert [tools.call("delete_task", task_id=n)["success"] for n in (1, 2, 3)] == [
        True,
        True,
        False,
    ]


def test_resumed_turn__repeats_no_effect():
    turn = accept(ChatRequest(ALICE, "add milk", "c1")).turn
    Toolbox(turn).call("add_task", title="milk")
    again = Toolbox(Turn.objects.get())
    again.replay()
    assert again.call("add_task", title="milk")["task_id"] == 1
    assert again.call("add_task", title="eggs")["task_id"] == 2
    assert [call["result"]["task_id"] for call in again.done] == [1, 2]


def test_delete_task__after_one_with_a_list_for_an_id(tools):
    tools.call("add_task", title="a")
    assert tools.call("delete_task", task_id=[1, 2])["success"] is False
    assert tools.call("delete_task", task_id=1)["success"] is True


def test_tools__arguments_nested_too_deeply_are_a_result(tools):
    nested: dict = {}
    for _ in range(3000):
        nested = {"a": nested}
    assert tools.call("add_task", **nested)["success"] is False
