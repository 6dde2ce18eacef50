"""What the built-in assistant understands, phrasing by phrasing, and that no text holds it up."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chat.assistant import phrases
from chat.assistant.choosing import choose
from chat.assistant.phrases.targets import is_vague, numbers, spellings, whole_list

MAX_CHARACTERS = 10_000  # of a message
SECONDS_MAX = 2  # of minutes, or a few milliseconds

ADDED = {
    "add buy milk": "buy milk",
    "Add milk, please": "milk",
    "add milk please": "milk",
    "ADD MILK": "MILK",
    "  please   add   milk !!": "milk",
    "can you add milk?": "milk",
    "Could you please add milk to my list? Thanks!": "milk",
    "hi, I'd like to add buy milk.": "buy milk",
    "add task: Buy groceries": "Buy groceries",
    "add a new task to buy milk": "buy milk",
    "add a task called 'buy milk'": "buy milk",
    "add to my to-do list: milk": "milk",
    "create a todo named milk": "milk",
    "new task: call mum": "call mum",
    "todo: buy milk": "buy milk",
    "to do: buy milk": "buy milk",
    "task - buy milk": "buy milk",
    "note to self: buy milk": "buy milk",
    "make a task to buy milk": "buy milk",
    "put milk on my list": "milk",
    "remind me to buy milk": "buy milk",
    "remember the milk": "the milk",
    "can you add milk for me please?": "milk",
    "add - milk": "milk",
    "don't forget: milk": "milk",
    "don't forget to buy milk": "buy milk",
    "Don\u2019t let me forget milk": "milk",
    "I need to buy milk": "buy milk",
    "I need to remember to buy milk": "buy milk",
    "I need to \u2026 remember to buy milk": "buy milk",
    "we have to finish the report": "finish the report",
    # Titles that hold words of ours
    "add please call mum": "please call mum",
    "add learn to say please": "learn to say please",
    'add "milk, please"': "milk, please",
    'please add "delete all tasks", please': "delete all tasks",
    "add check that homework is done": "check that homework is done",
    "add to-do list app research": "to-do list app research",
    "add write note to Bob": "write note to Bob",
    "add go through the items on the list": "go through the items on the list",
    "add a new pair of shoes": "a new pair of shoes",
    "add rename the files to lower case": "rename the files to lower case",
    "add ring back at 5 p.m.": "ring back at 5 p.m.",
    "add wait...": "wait...",
    "add what's left of the cake": "what's left of the cake",
    'add "milk" and "eggs"': '"milk" and "eggs"',
}
LISTED = {
    "list": "all",
    "my tasks": "all",
    "My tasks, please!": "all",
    "todo list": "all",
    "show my tasks": "all",
    "SHOW   ALL   TASKS": "all",
    "what tasks do I have?": "all",
    "how many tasks do I have?": "all",
    "what's on my to do list": "all",
    "can I see my tasks?": "all",
    "could you please show me my list?": "all",
    "tell me what tasks there are": "all",
    "do I have any tasks?": "all",
    "check my list": "all",
    "what are my tasks for today?": "all",
    "show tasks about the garden": "all",
    "what's left": "active",
    "what\u2019s left?": "active",
    "anything left?": "active",
    "show me my pending tasks": "active",
    "open tasks": "active",
    "which tasks are not done yet?": "active",
    "what is left to be done": "active",
    "what do I need to do?": "active",
    "what do I have to do today?": "active",
    "how many tasks are left?": "active",
    "I need to see what's left": "active",
    "completed tasks": "completed",
    "show completed": "completed",
    "what have I done?": "completed",
    "how many have I finished": "completed",
    "list all my completed tasks": "completed",
    "show me everything that is done": "completed",
    "show completed and pending tasks": "all",
}
COMPLETED = {
    "complete 2": "2",
    "mark task 1 complete": "task 1",
    "mark 1 done": "1",
    "MARK  TASK  1  DONE!!": "TASK 1",
    "mark buy milk completed": "buy milk",
    "mark buy milk as done, please": "buy milk",
    "can you mark #3 as complete?": "#3",
    "set task 2 complete": "task 2",
    "set task 2 to done": "task 2",
    "change status of task 2 to completed": "task 2",
    "change milk to done": "milk",
    "mark as done: buy milk": "buy milk",
    "mark off 3": "3",
    "mark 3": "3",
    "check off milk": "milk",
    "tick number 3 off": "number 3",
    "cross milk off my list": "milk",
    "finish no. 3": "no. 3",
    "it is done": "it",
    "that's done": "that",
    "task 3 is done": "task 3",
    "No. 3 is done.": "No. 3",
    "3 done": "3",
    "buy milk is already completed": "buy milk",
    "buy milk has been done": "buy milk",
    "milk: done": "milk",
    "I finished the report": "the report",
    "I've done the dishes": "the dishes",
    "I\u2019ve just finished task 3!": "task 3",
    "I'm done with the dishes": "the dishes",
    "done with 4": "4",
    "complete all tasks": "all tasks",
    # Titles that hold words of ours
    'mark "call as done" as done': '"call as done"',
    "mark mark as done list as done": "mark as done list",
    "complete completed forms": "completed forms",
    "make dinner is done": "make dinner",
    "complete rename files to lower case": "rename files to lower case",
    "mark take day off as done": "take day off",
}
CHANGED = {  # target, title, description
    "rename X to Y": ("X", "Y", None),
    "rename 2 to buy oat milk, please": ("2", "buy oat milk", None),
    "RENAME  TASK 2  TO  Y!": ("TASK 2", "Y", None),
    "can you rename #2 to Y?": ("#2", "Y", None),
    "update task 2 title to X": ("task 2", "X", None),
    "update task 2 to X": ("task 2", "X", None),
    "update 2 to: X": ("2", "X", None),
    "update task 2: X": ("task 2", "X", None),
    "change task 2's title to X": ("task 2", "X", None),
    "change task 2\u2019s name to X": ("task 2", "X", None),
    "change the title of no. 2 to X": ("no. 2", "X", None),
    "set the title of milk to oat milk": ("milk", "oat milk", None),
    "edit 2 -> X": ("2", "X", None),
    "replace milk with oat milk": ("milk", "oat milk", None),
    "update 2 with title X": ("2", "X", None),
    "update task 2: title: X": ("task 2", "X", None),
    "edit task 2 description to Y": ("task 2", "", "Y"),
    "update task 2 description: monthly": ("task 2", "", "monthly"),
    "update task 2 description monthly": ("task 2", "", "monthly"),
    "change the description of number 2 to monthly": ("number 2", "", "monthly"),
    "set the description of 2 to done": ("2", "", "done"),
    "update milk with description two litres": ("milk", "", "two litres"),
    "describe 2 as monthly": ("2", "", "monthly"),
    "add a note to task 2: monthly": ("task 2", "", "monthly"),
    'add description "to go" to task 2': ("task 2", "", "to go"),
    # Titles that hold words of ours
    'rename "a to b" to "c to d"': ('"a to b"', "c to d", None),
    "rename 2 to done": ("2", "done", None),
    'rename 2 to "Y."': ("2", "Y.", None),
    'change "the title" to X': ('"the title"', "X", None),
    "change meeting 10:30 to 11:30": ("meeting 10:30", "11:30", None),
}
DELETED = {
    "delete 2": "2",
    "remove task 2": "task 2",
    "DELETE  TASK  2 !": "TASK 2",
    "please delete #3": "#3",
    "could you please remove number 3?": "number 3",
    "delete no. 3, thanks": "no. 3",
    "can you delete task number 5 for me please": "task number 5",
    "delete 2, please and thank you!": "2",
    "remove X from list": "X",
    "delete everything that's done": "everything that's done",
    "I need to delete task 2": "task 2",
    "I want you to delete buy milk": "buy milk",
    'delete "buy milk".': '"buy milk"',
    "get rid of buy milk": "buy milk",
    "remove milk from my list": "milk",
    "take milk off my list": "milk",
    "delete 1, 2 and 3": "1, 2 and 3",
    "delete all": "all",
    "delete everything": "everything",
    "clear completed": "completed",
    "delete all tasks that are done": "all tasks that are done",
    "clear my list": "my list",
    # Titles that hold words of ours
    "delete completed forms": "completed forms",
    'delete "completed"': '"completed"',
    "delete mark as done list": "mark as done list",
    "delete please call mum": "please call mum",
    'remove "milk from my list"': '"milk from my list"',
}
OTHERS = {
    "help": "help",
    "Hello there!": "help",
    "what can you do?": "help",
    "how do I delete a task?": "help",
    "I need help": "help",
    "Thank you!": "thanks",
    "ok, thanks a lot": "thanks",
    "undo": "reopen",
    "no": "decline",
    "never mind": "decline",
    "actually, no": "decline",
    "don\u2019t delete anything": "decline",
    "mark 3 as not done": "reopen",
    "mark milk as incomplete": "reopen",
    "task 3 is not done": "reopen",
    "I haven't finished milk yet": "reopen",
    "reopen 3": "reopen",
    "change 2 to not done": "reopen",
}
FOREIGN = [
    *("What is the capital of France?", "write me a poem", "tell me a joke", "give me a break"),
    *("see a doctor", "I have a cold", "is milk done?", "well done", "set the table to white"),
    *("please", "", "???", "\U0001f642", "delete-me", "additional", "marking 3 papers", "check"),
]


@pytest.mark.parametrize(("message", "title"), ADDED.items())
def test_add__phrasings(message, title):
    command = phrases.understand(message)
    assert (command.verb, command.title, command.description) == ("add", title, None)


@pytest.mark.parametrize(
    ("message", "title", "description"),
    [
        ("add call Bob with description about rent", "call Bob", "about rent"),
        ("add call Bob, description: about rent", "call Bob", "about rent"),
        ("add milk (note: two litres)", "milk", "two litres"),
        ('add "call Bob" with the description "on 5: rent"', "call Bob", "on 5: rent"),
        ('add "notes with description x"', "notes with description x", None),
    ],
)
def test_add__with_a_description(message, title, description):
    command = phrases.understand(message)
    assert (command.verb, command.title, command.description) == ("add", title, description)


@pytest.mark.parametrize(("message", "which"), LISTED.items())
def test_list__phrasings(message, which):
    command = phrases.understand(message)
    assert (command.verb, command.filter) == ("list", which)


@pytest.mark.parametrize(("message", "target"), COMPLETED.items())
def test_complete__phrasings(message, target):
    command = phrases.understand(message)
    assert (command.verb, command.target) == ("complete", target)


@pytest.mark.parametrize(("message", "change"), CHANGED.items())
def test_update__phrasings(message, change):
    command = phrases.understand(message)
    assert (command.verb, (command.target, command.title, command.description)) == (
        "update",
        change,
    )


@pytest.mark.parametrize(("message", "target"), DELETED.items())
def test_delete__phrasings(message, target):
    command = phrases.understand(message)
    assert (command.verb, command.target) == ("delete", target)


@pytest.mark.parametrize(("message", "verb"), OTHERS.items())
def test_other__phrasings(message, verb):
    assert phrases.understand(message).verb == verb


@pytest.mark.parametrize("message", FOREIGN)
def test_what_is_no_command__is_none(message):
    assert phrases.understand(message) is None


def test_update__every_place_to_cut_is_a_reading():
    command = phrases.understand("rename go to shop to go home")
    readings = [(each.target, each.title) for each in (command, *command.others)]
    assert readings == [("go", "shop to go home"), ("go to shop", "go home")]


@pytest.mark.parametrize(
    ("target", "named"),
    [
        *[
            (text, [3])
            for text in ("3", "#3", "task 3", "Task #3.", "number 3", "no. 3", "id: 3", "3 now")
        ],
        *[(text, [1, 2, 5]) for text in ("1, 2 and 5", "tasks 1 2 5", "#1 & #2, 5", "1, 2, 5, 1")],
        *[(text, None) for text in ("2 eggs", "1.5", "10:30", "1-3", "1st", '"3"', "task", "")],
    ],
)
def test_numbers(target, named):
    assert numbers(target) == named


@pytest.mark.parametrize(
    ("target", "which"),
    [
        *[(t, "all") for t in ("all", "everything", "my tasks", "the whole list", "all my tasks")],
        *[
            (t, "completed")
            for t in ("completed", "done tasks", "everything I've finished", "all that's done")
        ],
        *[(t, "active") for t in ("all pending tasks", "open items", "tasks that are not done")],
        *[(t, None) for t in ("them", "all of them", "it", "a task", "tasks", "the last one")],
        *[(t, None) for t in ("the completed task", "completed forms", "all but milk", '"all"')],
        *[(t, None) for t in ("everything except 2", "left", "open", "not 3", "")],
    ],
)
def test_whole_list(target, which):
    assert whole_list(target) == which


@pytest.mark.parametrize(
    ("target", "vague"),
    [
        *[
            (t, True)
            for t in ("it", "that one", "them", "a task", "tasks", "the last one", "?", "")
        ],
        *[(t, False) for t in ("milk", "the milk task", '"it"', "list of friends")],
    ],
)
def test_is_vague(target, vague):
    assert is_vague(target) is vague


@pytest.mark.parametrize(
    ("target", "last"),
    [
        ("the task called 'milk'", "milk"),
        ("the milk task", "milk"),
        ("task milk.", "milk"),
        ('"the milk task"', "the milk task"),
    ],
)
def test_spellings__the_shortest_last(target, last):
    assert spellings(target)[-1] == last


# --- No text holds the process: a regular expression can't be interrupted ---

VERBS = ["add", "list", "mark", "complete", "set", "change", "rename", "update", "delete", "take"]
PIECES = st.sampled_from(
    [
        *VERBS,
        *("task", "3", "as", "done", "to", "off", "please", "can you", "is", "not", "my", "the"),
        *("all", "with", "description", "note", "of", "and", "I need", "I've", "'s", "\n", "x"),
        *":,.!?\"'\u201c\u2018\u2026#-([ ",
    ]
)
STARTS = ["", "what ", "which ", "list ", "delete ", "1", "add ", "add note ", "add a note to "]
STARTS += [
    "rename ",
    "set ",
    "edit ",
    "mark ",
    "i need to ",
    "i've ",
    "please ",
    "change 2's ",
    '"',
]
FILLINGS = [" ", "\n", "my ", "task ", "is done ", "1 ", ", ", "to ", "of ", "left ", "on my list "]
FILLINGS += [
    "'",
    '"',
    "\u201c",
    "\u2018x ",
    "'x' ",
    "please ",
    "can you ",
    ".",
    "\u2026 ",
    "as done ",
    "a-",
]
FILLINGS += ["with description ", "title of ", ": ", " - ", "#1 ", "not ", "x", "!", "\x00", "'s "]


def read_everything(message: str) -> None:
    phrases.understand(message)
    for read in (numbers, whole_list, is_vague, spellings):
        read(message)


@pytest.mark.parametrize("start", STARTS)
def test_hostile_text__does_not_hold_the_process(start):
    """Seen: "1", 1,500 spaces and "x" held the server for minutes."""
    for filling in FILLINGS:
        for end in ("x!(", " to x", " as done", ", please", '"'):
            message = (start + filling * MAX_CHARACTERS)[: MAX_CHARACTERS - len(end)] + end
            began = time.process_time()
            read_everything(message)
            assert time.process_time() - began < SECONDS_MAX, (start, filling, end)


@settings(deadline=None)
@given(st.one_of(st.text(), st.lists(PIECES).map(" ".join), st.lists(PIECES).map("".join)))
@example("delete")
@example("'")
def test_any_text__is_understood_or_not_and_soon(text):
    for message in (text, (text * MAX_CHARACTERS)[:MAX_CHARACTERS]):
        began = time.process_time()
        read_everything(message)
        assert time.process_time() - began < SECONDS_MAX


class Tasks:
    """The one tool that choosing needs, without a database."""

    def __init__(self, *titles: str) -> None:
        self.tasks = [
            {"id": number, "title": title, "completed": number % 2 == 0}
            for number, title in enumerate(titles, 1)
        ]

    def call(self, tool, filter):
        wanted = {"all": (True, False), "active": (False,), "completed": (True,)}[filter]
        return {"tasks": [task for task in self.tasks if task["completed"] in wanted]}


TITLES = [
    "buy milk",
    "milk",
    "completed forms",
    "done",
    "call the dentist",
    "a",
    "task",
    "all done",
]
WORDS = st.sampled_from(
    [
        *("milk", "buy milk", "forms", "completed", "done", "call", "dentist", "the", "a", "task"),
        *("please", "it", "from my list", "all", "of", "not", "and", "but", "except", "is", '"'),
        *("tasks", "list", "to", ",", ".", "them", "my", "open", "now", "?", "called"),
    ]
)


@settings(deadline=None, max_examples=500)
@given(st.sampled_from(["delete", "remove", "clear", "please delete", "take"]), st.lists(WORDS))
def test_any_deletion__is_of_numbers_or_of_many_or_of_a_title_in_the_message(verb, rest):
    message = " ".join([verb, *rest])
    command = phrases.understand(message)
    if command is None or command.verb != "delete" or whole_list(command.target):
        return
    chosen = choose(Tasks(*TITLES), command, "all")
    if not isinstance(chosen, str):
        assert [TITLES[number - 1] in message for number in chosen] == [True]
