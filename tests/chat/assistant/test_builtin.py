"""The built-in assistant: what it does about plain English, and when it asks back."""

import pytest

from chat.assistant.choosing import WHICH
from chat.models import Task
from chat.tools.toolbox import MAX_CALLS
from tests.chat.drive import ALICE, ask

pytestmark = pytest.mark.django_db(transaction=True)


def have(*titles: str, done: tuple[str, ...] = ()) -> None:
    """Tasks with these titles, numbered from 1, and some that are done behind them."""
    Task.objects.bulk_create(
        Task(user_id=ALICE, number=number, title=title, completed=title in done)
        for number, title in enumerate((*titles, *done), 1)
    )


def left() -> list[str]:
    return list(Task.objects.order_by("number").values_list("title", flat=True))


def completed() -> list[str]:
    return list(Task.objects.filter(completed=True).values_list("title", flat=True))


def test_builtin__a_whole_conversation():
    assert "number 1" in ask("Add a task to buy milk").reply
    assert "number 2" in ask("remind me to buy oat milk").reply
    assert ask("show my tasks").reply == (
        "You have 2 tasks:\n1. buy milk (active)\n2. buy oat milk (active)"
    )
    assert "'buy milk' is complete" in ask("mark buy milk as done").reply
    assert ask("what have I completed? show completed tasks").reply
    assert "complete already" in ask("complete 1").reply
    assert "now 'buy soy milk'" in ask("rename 2 to buy soy milk").reply
    assert "deleted 'buy soy milk'" in ask("delete buy soy milk").reply
    assert ask("list active tasks").reply == "You have no active tasks."
    assert (
        ask("Hello, could you list my active tasks, please?").reply == "You have no active tasks."
    )
    assert "say please" in ask("add learn to say please").reply


def test_builtin__asks_back_and_understands_the_answer():
    ask("add call Anna")
    ask("add call Berta")
    question = ask("complete call")
    assert question.reply.startswith("Which task do you mean?")
    assert "1. call Anna" in question.reply
    assert "'call Berta' is complete" in ask("2").reply


@pytest.mark.parametrize("message", ["What is the capital of France?", "write me a poem", "🙂"])
def test_builtin__says_what_it_can_do(message):
    turn = ask(message)
    assert "I can't help with that" in turn.reply
    assert turn.tool_calls == []


@pytest.mark.parametrize("message", ["add", "delete", "complete", "rename", "complete nothing"])
def test_builtin__asks_for_what_is_missing(message):
    assert ask(message).reply
    assert not Task.objects.exists()


# --- What goes was named ---


@pytest.mark.parametrize(
    ("message", "gone"),
    [
        ("delete buy milk", "buy milk"),
        ("please DELETE the task Buy Milk!", "buy milk"),
        ('remove "buy milk"', "buy milk"),
        ("delete task 2", "completed forms"),
        ("delete completed forms", "completed forms"),
        ("delete mark as done list", "mark as done list"),
        ("remove please call mum", "please call mum"),
        ("get rid of the delete all task", "delete all"),
        ('delete "3"', "3"),
    ],
)
def test_delete__what_was_named_goes_and_nothing_else(message, gone):
    tasks = ["buy milk", "completed forms", "mark as done list", "please call mum", "delete all"]
    have(*tasks, "3")
    ask(message)
    assert left() == [title for title in (*tasks, "3") if title != gone]


@pytest.mark.parametrize(
    "message",
    [
        *("delete milk", "delete a", "delete b", "delete m", "delete buy", "delete the milk buy"),
        *("delete it", "delete them", "delete that one", "delete the last one", "delete a task"),
        *("delete the task", "delete all of them", "delete everything except 1", "delete", "clear"),
        *(
            "delete all but milk",
            "delete 1-3",
            "delete 1.5",
            "delete list of friends",
            "remove open",
        ),
        *(
            "don't delete buy milk",
            "buy milk is done",
            "delete milk and bread",
            "delete my account",
        ),
        *("delete nothing", "never delete buy milk", "delete completed", "cancel buy milk"),
        *("delete my reminders buy milk", "delete another buy milk", "delete a buy milk"),
    ],
)
def test_delete__nothing_goes_that_was_not_named(message):
    have("buy milk")
    ask(message)
    assert left() == ["buy milk"]


def test_delete__a_part_of_a_title_is_asked_about():
    have("buy milk", "call Anna")
    question = ask("delete milk").reply
    assert question == f"{WHICH}\n1. buy milk (active)\nAnswer with its number, or with yes."
    assert "deleted 'buy milk'" in ask("yes, please").reply
    assert left() == ["call Anna"]


@pytest.mark.parametrize("message", ["clear completed", "remove completed", "delete done tasks"])
def test_delete__the_completed_ones_in_bulk(message):
    have("a", "b", done=("c", "d"))
    asked = ask(message).reply
    assert asked.endswith('Say "yes" to delete them:\n3. c\n4. d')
    assert left() == ["a", "b", "c", "d"]
    ask("yes")
    assert left() == ["a", "b"]


def test_delete__many_or_a_task_of_that_title():
    have("Completed", done=("c",))
    assert ask("delete completed").reply.startswith(WHICH)
    assert left() == ["Completed", "c"]
    ask("1")
    assert left() == ["c"]
    ask("delete completed")
    assert left() == []


def test_delete__two_of_one_title_are_asked_about():
    have("milk", "Milk", "buy milk")
    assert ask("delete milk").reply.startswith(f"{WHICH}\n1. milk (active)\n2. Milk (active)\nA")
    ask("2")
    assert left() == ["milk", "buy milk"]


# --- The answer to "which task?" ---


def test_which__the_answer_may_be_a_title_and_asking_may_go_on():
    have("call Anna", "call Berta", "Anna")
    assert ask("delete call").reply.startswith(WHICH)
    assert ask("the one with Berta").reply.startswith("I found no task")
    assert ask("delete call").reply.startswith(WHICH)
    assert ask("yes").reply.startswith(WHICH)
    assert ask("hmm, Berta?").reply.startswith("I found no task")
    assert ask("delete call").reply.startswith(WHICH)
    assert "2. call Berta" in ask("Berta").reply
    assert "deleted 'call Berta'" in ask("yes").reply
    assert left() == ["call Anna", "Anna"]


def test_which__a_number_that_was_not_asked_about_deletes_nothing():
    have("call Anna", "call Berta", "milk")
    ask("delete call")
    assert ask("3").reply.startswith(WHICH)
    assert left() == ["call Anna", "call Berta", "milk"]


def test_which__is_about_what_was_asked_last():
    have("call Anna", "call Berta")
    assert ask("delete call").reply.startswith(WHICH)
    assert ask("complete call").reply.startswith(WHICH)
    ask("2")
    assert (left(), completed()) == (["call Anna", "call Berta"], ["call Berta"])


@pytest.mark.parametrize("answer", ["never mind", "show my tasks", "no", "thanks"])
def test_which__another_command_ends_it(answer):
    have("call Anna", "call Berta")
    ask("delete call")
    ask(answer)
    ask("2")
    assert left() == ["call Anna", "call Berta"]


@pytest.mark.parametrize("message", ["it is done", "complete it", "I'm done", "complete tasks"])
def test_complete__what_was_not_named_is_asked_about(message):
    have("buy milk")
    assert ask(message).reply.startswith(WHICH)
    assert completed() == []
    ask("1")
    assert completed() == ["buy milk"]


def test_complete__what_is_not_done_is_not_completed():
    have("buy milk")
    for message in ("mark 1 as not done", "buy milk is not done", "I haven't done buy milk"):
        assert "active until you complete it" in ask(message).reply
    assert completed() == []


# --- Changes ---


def test_rename__the_tasks_decide_where_the_title_begins():
    have("go to shop", "to do")
    assert "now 'go home'" in ask("rename go to shop to go home").reply
    assert left() == ["go home", "to do"]
    ask('rename "to do" to "to be done"')
    assert left() == ["go home", "to be done"]


def test_rename__that_can_mean_two_tasks_is_asked_about():
    have("go", "go to shop")
    assert ask("rename go to shop to go home").reply.startswith("Where does the new title begin?")
    assert left() == ["go", "go to shop"]


def test_change__a_state_or_a_field():
    have("go to work", "title")
    ask("change go to work to done")
    assert completed() == ["go to work"]
    reply = ask("change 2's description to weekly").reply
    assert reply == "Task 2 is now 'title', with the description 'weekly'."
    ask("rename title to name")
    assert left() == ["go to work", "name"]


def test_numbers__more_than_a_turn_may_complete_say_so_once():
    reply = ask("complete " + " ".join(map(str, range(1, 60)))).reply
    assert reply.count(f"at most {MAX_CALLS}") == 1


def test_long_messages__are_answered():
    for start in ("add ", "delete ", "rename ", "complete ", ""):
        assert len(ask(start + "x" * 9_900).reply) < 1_000
