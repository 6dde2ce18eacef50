"""The built-in assistant: what each way to put it does, and when it asks back. No text holds it."""

import re
import time
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from chat.assistant.builtin import EXAMPLES, TABLE, WHICH, BuiltinAssistant, understand
from chat.deadline import Deadline
from chat.models import Task
from chat.tools.toolbox import MAX_CALLS
from tests.chat.drive import ALICE, ask

database = pytest.mark.django_db(transaction=True)

MAX_CHARACTERS = 10_000  # of a message
TIMES_LONGER = 10
SECONDS_MAX = 2  # for one so much longer: of minutes, or a tenth of a second


class Tools:
    """The tools without a database: they note their calls, and find every task."""

    confirmed_deletes = ()
    calls_left = MAX_CALLS

    def __init__(self, *titles, done=()):
        self.made = []
        self.tasks = [
            {"id": number, "title": title, "completed": title in done}
            for number, title in enumerate((*titles, *done), 1)
        ]

    def replay(self):
        """Have no journal."""

    def call_all(self, calls):
        return [self.call(call.tool, **call.arguments) for call in calls]

    def call(self, tool, **arguments):
        if tool != "list_tasks":
            self.made.append((tool, *arguments.values()))
            task = {"id": 0, "description": "", "title": "", **arguments}
            return {"success": True, "task_id": 0, "title": "", "task": task}
        wanted = {"all": (True, False), "active": (False,), "completed": (True,)}
        self.listed = arguments["filter"]
        found = [task for task in self.tasks if task["completed"] in wanted[self.listed]]
        return {"success": True, "tasks": found, "count": len(found)}


def said(message, tools):
    return BuiltinAssistant().answer((), message, tools, Deadline(30))


TITLES = ("buy milk", "call Anna", "call Berta", "go to work", "rename files to lower case")
DONE = ("old forms", "tax")
DOES = {
    "add_task": {
        "add buy milk": "buy milk",
        "ADD MILK": "MILK",
        "  please   add   milk !!": "milk",
        "add milk please": "milk",
        "Add milk, please": "milk",
        "can you add milk?": "milk",
        "Could you please add milk to my list? Thanks!": "milk",
        "hi, I'd like to add buy milk.": "buy milk",
        "I want to add milk": "milk",
        "add task: Buy groceries": "Buy groceries",
        "Add a task to buy milk": "buy milk",
        "add a new task to buy milk": "buy milk",
        "add a task called 'buy milk'": "buy milk",
        "add to my to-do list: milk": "milk",
        "create a todo called milk": "milk",
        "create buy milk": "buy milk",
        "add: milk": "milk",
        "add another item: eggs": "eggs",
        "new task: call mum": "call mum",
        "todo: buy milk": "buy milk",
        "to do: buy milk": "buy milk",
        "note to self: buy milk": "buy milk",
        "remind me to buy milk": "buy milk",
        "remember to buy milk": "buy milk",
        "don't forget to buy milk": "buy milk",
        "Don\u2019t forget to buy milk": "buy milk",
        # Titles that hold words of ours
        "add please call mum": "please call mum",
        "add learn to say please": "learn to say please",
        'add "milk, please"': "milk, please",
        'add "wait..."': "wait...",
        'please add "delete all tasks", please': "delete all tasks",
        "add check that homework is done": "check that homework is done",
        "add to-do list app research": "to-do list app research",
        "add a new pair of shoes": "a new pair of shoes",
        "add rename the files to lower case": "rename the files to lower case",
        "add what's left of the cake": "what's left of the cake",
        "add Anna\u2019s book": "Anna\u2019s book",
        'add "milk" and "eggs"': '"milk" and "eggs"',
    },
    "list_tasks": {
        "list": "all",
        "my tasks": "all",
        "My tasks, please!": "all",
        "What are my tasks?": "all",
        "todo list": "all",
        "show my tasks": "all",
        "SHOW   ALL   TASKS": "all",
        "what tasks do I have?": "all",
        "how many tasks do I have?": "all",
        "what's on my to-do list": "all",
        "can I see my tasks?": "all",
        "could you please show me my list?": "all",
        "do I have any tasks?": "all",
        "show completed and pending tasks": "all",
        "Hello, could you list my active tasks, please?": "active",
        "what's left": "active",
        "what\u2019s left?": "active",
        "what is left to be done": "active",
        "what do I need to do?": "active",
        "show me my pending tasks": "active",
        "open tasks": "active",
        "which tasks are not done yet?": "active",
        "I need to see what's left": "active",
        "completed tasks": "completed",
        "show completed": "completed",
        "what have I done?": "completed",
        "list all my completed tasks": "completed",
        "show me everything that's done": "completed",
    },
    "complete_task": {
        "complete 2": (2,),
        "done 2": (2,),
        "finish no. 3": (3,),
        "MARK  TASK  1  DONE!!": (1,),
        "mark 1 done": (1,),
        "can you mark #3 as complete?": (3,),
        "set task 2 to done": (2,),
        "change 2 to done": (2,),
        "complete 1, 2 and 3": (1, 2, 3),
        "mark buy milk as done, please": (1,),
        "mark BUY MILK completed": (1,),
        "mark as done: buy milk": (1,),
        'mark "buy milk" as done': (1,),
        "complete milk": (1,),
        "check off milk": (1,),
        "tick number 3 off": (3,),
        "I finished buy milk": (1,),
        "I\u2019ve done milk": (1,),
        "I'm done with 4": (4,),
        "task 3 is done": (3,),
        "buy milk is already completed": (1,),
        "complete rename files to lower case": (5,),
        "complete all tasks": (1, 2, 3, 4, 5),
    },
    "update_task": {
        "rename 2 to buy oat milk, please": (2, "buy oat milk"),
        "RENAME  TASK 2  TO  Y!": (2, "Y"),
        "can you rename #2 to Y?": (2, "Y"),
        "rename buy milk to X": (1, "X"),
        "change 2 to X": (2, "X"),
        "update task 2 to X": (2, "X"),
        "update task 2: X": (2, "X"),
        "change task 2's title to X": (2, "X"),
        "change task 2\u2019s title to X": (2, "X"),
        "change the title of no. 2 to X": (2, "X"),
        'rename "go to work" to "go to bed"': (4, "go to bed"),
        'rename 2 to "Y."': (2, "Y."),
        "rename 2 to done": (2, "done"),
        "change 2's description to weekly": (2, "weekly"),
        "update task 2 description: monthly": (2, "monthly"),
        "edit task 2 description monthly": (2, "monthly"),
        "change the description of number 2 to monthly": (2, "monthly"),
        "set the description of buy milk to done": (1, "done"),
        "update the title of task 1 to X": (1, "X"),
    },
    "delete_task": {
        "delete 2": (2,),
        "DELETE  TASK  2 !": (2,),
        "please delete #3": (3,),
        "delete no. 3, thanks": (3,),
        "I need to delete task 2": (2,),
        "I want you to delete buy milk": (1,),
        'remove "buy milk".': (1,),
        "please DELETE the task Buy Milk!": (1,),
        "delete the buy milk task": (1,),
        "get rid of buy milk": (1,),
        "remove buy milk from my list": (1,),
        "take buy milk off my list": (1,),
        "delete 1, 2 and 3": (1, 2, 3),
        "delete all": (1, 2, 3, 4, 5, 6, 7),
        "delete everything": (1, 2, 3, 4, 5, 6, 7),
        "delete all the tasks": (1, 2, 3, 4, 5, 6, 7),
        "delete every task": (1, 2, 3, 4, 5, 6, 7),
        "delete all my tasks": (1, 2, 3, 4, 5, 6, 7),
        "clear my list": (1, 2, 3, 4, 5, 6, 7),
        "delete all active tasks": (1, 2, 3, 4, 5),
        "clear completed": (6, 7),
        "delete all completed tasks": (6, 7),
        "delete done tasks": (6, 7),
        "delete all tasks that are done": (6, 7),
    },
}
SAYS = {
    "help": "Hello! I look after your task list.",
    "Hello there!": "Hello! I look after your task list.",
    "what can you do?": "Hello! I look after your task list.",
    "how do I delete a task?": "Hello! I look after your task list.",
    "Thank you!": "You're welcome!",
    "ok, thanks a lot": "You're welcome!",
    "no": "All right, I leave everything as it is.",
    "never mind": "All right, I leave everything as it is.",
    "don\u2019t delete anything": "All right, I leave everything as it is.",
    "undo": "A task is active until you complete it.",
    "mark 1 as not done": "A task is active until you complete it.",
    "mark milk as incomplete": "A task is active until you complete it.",
    "buy milk is not done": "A task is active until you complete it.",
    "I haven't finished milk yet": "A task is active until you complete it.",
    "complete nothing": "I found no task 'nothing'.",
    "rename 1 and 2 to X": f"{WHICH} I can change one at a time.",
    **dict.fromkeys(
        [
            *("What is the capital of France?", "write me a poem", "tell me a joke", "\U0001f642"),
            *("see a doctor", "I have a cold", "is milk done?", "well done", "set the table"),
            *("please", "???", "delete-me", "additional", "marking 3 papers", "check", "yes", "2"),
            *("add", "add a new task", "delete", "complete", "rename", "I need to buy milk"),
        ],
        f"I can't help with that. {EXAMPLES}",
    ),
}


@pytest.mark.parametrize(
    ("tool", "message", "with_what"),
    [(tool, *row) for tool, messages in DOES.items() for row in messages.items()],
)
def test_table__what_is_done(tool, message, with_what):
    tools = Tools(*TITLES, done=DONE)
    said(message, tools)
    if tool == "list_tasks":
        assert (tools.made, tools.listed) == ([], with_what)
    elif tool == "update_task":
        assert tools.made == [(tool, *with_what)]
    else:
        things = (with_what,) if isinstance(with_what, str) else with_what
        assert tools.made == [(tool, thing) for thing in things]


@pytest.mark.parametrize(("message", "reply"), SAYS.items())
def test_table__what_is_said(message, reply):
    tools = Tools(*TITLES)
    assert said(message, tools).startswith(reply)
    assert tools.made == []


@pytest.mark.parametrize(
    ("message", "title", "description"),
    [
        ("add call Bob with description about rent", "call Bob", "about rent"),
        ('add "call Bob" with the description "on 5: rent"', "call Bob", "on 5: rent"),
        ('add "notes with description x"', "notes with description x", None),
    ],
)
def test_add__with_a_description(message, title, description):
    tools = Tools()
    said(message, tools)
    assert tools.made == [("add_task", title, *([description] if description else []))]


def test_docs__every_example_is_understood():
    text = Path("docs/chat.md").read_text()
    section = text.split("## The built-in assistant")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith('| "')]
    examples = [example for row in rows for example in re.findall('"([^"]+)"', row.split("|")[1])]
    verbs = {command.verb for each in examples if (command := understand(each))}
    assert [each for each in examples if understand(each) is None] == []
    assert verbs == {verb for verb, _ in TABLE}


# --- In a conversation ---


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


@database
def test_a_whole_conversation():
    assert "number 1" in ask("Add a task to buy milk").reply
    assert "number 2" in ask("remind me to buy oat milk").reply
    assert ask("show my tasks").reply == (
        "You have 2 tasks:\n1. buy milk (active)\n2. buy oat milk (active)"
    )
    assert "'buy milk' is complete" in ask("mark buy milk as done").reply
    assert (
        ask("what have I completed?").reply == "You have 1 completed task:\n1. buy milk (completed)"
    )
    assert "complete already" in ask("complete 1").reply
    assert "now 'buy soy milk'" in ask("rename 2 to buy soy milk").reply
    assert ask("change 2's description to weekly").reply == (
        "Task 2 is now 'buy soy milk', with the description 'weekly'."
    )
    assert "deleted 'buy soy milk'" in ask("delete buy soy milk").reply
    assert ask("list active tasks").reply == "You have no active tasks."
    assert "say please" in ask("add learn to say please").reply
    assert ask("add " + "x" * 300).reply.startswith("I could not add that: title")


@database
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
        *("delete all but milk", "delete 1-3", "delete 1.5", "delete list of friends"),
        *("don't delete buy milk", "buy milk is done", "delete milk and bread", "remove open"),
        *("delete nothing", "never delete buy milk", "delete completed", "cancel buy milk"),
        *("delete my reminders buy milk", "delete another buy milk", "delete a buy milk"),
        *("delete my account", "delete tasks", "delete done", 'delete "milk"', 'delete "all"'),
    ],
)
def test_delete__nothing_goes_that_was_not_named(message):
    tools = Tools("buy milk")
    said(message, tools)
    assert "delete_task" not in dict(tools.made)


@database
def test_delete__a_part_of_a_title_is_asked_about():
    have("buy milk", "call Anna")
    question = ask("delete milk").reply
    assert question == f"{WHICH}\n1. buy milk (active)\nAnswer with its number, or with yes."
    assert "deleted 'buy milk'" in ask("yes, please").reply
    assert left() == ["call Anna"]


@database
@pytest.mark.parametrize("message", ["clear completed", "remove completed", "delete done tasks"])
def test_delete__the_completed_ones_in_bulk(message):
    have("a", "b", done=("c", "d"))
    asked = ask(message).reply
    assert asked.endswith('Say "yes" to delete them:\n3. c\n4. d')
    assert left() == ["a", "b", "c", "d"]
    ask("yes")
    assert left() == ["a", "b"]


@database
def test_delete__many_or_a_task_of_that_title():
    have("Completed", done=("c",))
    assert ask("delete completed").reply.startswith(WHICH)
    assert left() == ["Completed", "c"]
    ask("1")
    assert left() == ["c"]
    ask("delete completed")
    assert left() == []


@database
def test_delete__two_of_one_title_are_asked_about():
    have("milk", "Milk", "buy milk")
    assert ask("delete milk").reply.startswith(f"{WHICH}\n1. milk (active)\n2. Milk (active)\nA")
    ask("2")
    assert left() == ["milk", "buy milk"]


# --- The answer to "which task?" ---


@database
def test_which__the_answer_is_a_number():
    have("call Anna", "call Berta")
    question = ask("complete call")
    assert question.reply.startswith(f"{WHICH}\n1. call Anna (active)\n2. call Berta (active)\n")
    assert "'call Berta' is complete" in ask("2.").reply
    assert "'call Anna' is complete" in ask("complete call").reply  # the only one that is active


@database
def test_which__the_answer_may_be_a_title_and_asking_may_go_on():
    have("call Anna", "call Berta", "Anna")
    assert ask("delete call").reply.startswith(WHICH)
    assert ask("the one with Berta").reply.startswith("I found no task")
    assert ask("delete call").reply.startswith(WHICH)
    assert ask("yes").reply.startswith(WHICH)
    assert ask("all").reply.startswith(WHICH)
    assert "2. call Berta" in ask("Berta").reply
    assert "deleted 'call Berta'" in ask("yes").reply
    assert left() == ["call Anna", "Anna"]


@database
def test_which__a_number_that_was_not_asked_about_deletes_nothing():
    have("call Anna", "call Berta", "milk")
    ask("delete call")
    assert ask("3").reply.startswith(WHICH)
    assert left() == ["call Anna", "call Berta", "milk"]


@database
def test_which__is_about_what_was_asked_last():
    have("call Anna", "call Berta")
    assert ask("delete call").reply.startswith(WHICH)
    assert ask("complete call").reply.startswith(WHICH)
    ask("2")
    assert (left(), completed()) == (["call Anna", "call Berta"], ["call Berta"])


@database
@pytest.mark.parametrize("answer", ["never mind", "show my tasks", "no", "thanks"])
def test_which__another_command_ends_it(answer):
    have("call Anna", "call Berta")
    ask("delete call")
    ask(answer)
    ask("2")
    assert left() == ["call Anna", "call Berta"]


@database
@pytest.mark.parametrize("message", ["it is done", "complete it", "I'm done", "complete tasks"])
def test_complete__what_was_not_named_is_asked_about(message):
    have("buy milk")
    assert ask(message).reply.startswith(WHICH)
    assert completed() == []
    ask("1")
    assert completed() == ["buy milk"]


@database
def test_numbers__more_than_a_turn_may_complete_say_so_once():
    reply = ask("complete " + " ".join(map(str, range(1, 60)))).reply
    assert reply.count(f"at most {MAX_CALLS}") == 1


@database
def test_long_messages__are_answered():
    for start in ("add ", "delete ", "rename ", "complete ", ""):
        assert len(ask(start + "x" * 9_900).reply) < 1_000


# --- No text holds the process: a regular expression can't be interrupted ---

STARTS = ["", "add ", "add a task to ", "list ", "what ", "delete ", "take ", "rename ", "change "]
STARTS += ["mark ", "set the title of ", "i've ", "please ", "change 2's ", "todo: ", '"', "1"]
FILLINGS = [
    " ",
    "\n",
    "my ",
    "task ",
    "is done ",
    "1 ",
    ", ",
    "to ",
    "of ",
    "left ",
    "'",
    '"',
    "\u201c",
]
FILLINGS += ["please ", "can you ", ".", "! ", "as done ", "a-", "#1 ", "not ", "x", "all ", "'s "]
FILLINGS += ["with description ", "description ", "to my list ", ": ", "a new ", "the ", "that is "]


@pytest.mark.parametrize("start", STARTS)
def test_hostile_text__does_not_hold_the_process(start):
    """Seen: "1", 1,500 spaces and "x" held the server for minutes."""
    for filling in FILLINGS:
        for end in ("x!(", " to x", " as done"):
            message = start + filling * (TIMES_LONGER * MAX_CHARACTERS // len(filling)) + end
            began = time.process_time()
            said(message, Tools(*TITLES))
            assert time.process_time() - began < SECONDS_MAX, (start, filling, end)


PIECES = st.sampled_from(
    [
        *("add", "list", "mark", "complete", "set", "change", "rename", "update", "delete", "take"),
        *("task", "3", "as", "done", "to", "off", "please", "can you", "is", "not", "my", "the"),
        *("all", "with", "description", "of", "and", "I need to", "I've", "'s", "\n", "x"),
        *":,.!?\"'\u201c\u2018\u2026#-([ ",
    ]
)


@settings(deadline=None)
@given(st.one_of(st.text(), st.lists(PIECES).map(" ".join), st.lists(PIECES).map("".join)))
@example("delete")
@example("'")
def test_any_text__has_an_answer_and_soon(text):
    for message in (text, (text * MAX_CHARACTERS)[:MAX_CHARACTERS]):
        began = time.process_time()
        assert said(message, Tools(*TITLES))
        assert time.process_time() - began < SECONDS_MAX


WORDS = st.sampled_from(
    [
        *("milk", "buy milk", "forms", "completed", "done", "call", "dentist", "the", "a", "task"),
        *("please", "it", "from my list", "of", "not", "and", "but", "except", "is", '"'),
        *("list", "to", ",", ".", "them", "open", "now", "?", "called"),
    ]
)


@settings(deadline=None, max_examples=500)
@given(st.sampled_from(["delete", "remove", "clear", "please delete", "take"]), st.lists(WORDS))
def test_any_deletion__is_of_a_title_in_the_message(verb, rest):
    beside = {"please", "from my list", ".", ",", "?"}
    assume([word for word in rest if word not in beside] != ["the", "list"])  # all of it
    target = " ".join(rest)
    titles = ("buy milk", "milk", "completed forms", "done", "call the dentist", "a", "task")
    tools = Tools(*titles)
    said(f"{verb} {target}", tools)
    for tool, number, *_ in tools.made:
        assert tool != "delete_task" or titles[number - 1] in target
