"""Choosing the tasks that a command is about, or asking back which."""

import re
from collections.abc import Sequence
from dataclasses import replace

from chat.assistant import phrases
from chat.assistant.finding import Task, by_letters, by_words, exactly
from chat.assistant.phrases.command import Command
from chat.assistant.phrases.targets import is_vague, numbers, spellings, whole_list
from chat.assistant.phrases.wording import NOUNS, vocabulary, words
from chat.conversations.state import MessageEntry
from chat.tools.toolbox import Toolbox

SHOWN_MAX = 50
SHOWN_CHARACTERS = 200
WHICH = "Which task do you mean?"
_SHOWN = re.compile(r"^([0-9]+)\. ", re.MULTILINE)
_YES = vocabulary("yes yep yeah y ok okay sure right correct")
_BESIDE_YES = vocabulary("please do it that that's this one the is")
_SPOKEN = {
    "complete": '"complete 2"',
    "delete": '"delete 2", or "delete all tasks"',
    "update": '"rename 2 to buy oat milk"',
}


def choose(tools: Toolbox, command: Command, preferred: str) -> list[int] | str:
    """Return the numbers of the tasks that are meant, or what to ask back."""
    target = command.target
    if (named := numbers(target)) is not None:
        return named
    if (which := whole_list(target)) is not None and _is_clear(tools, command):
        tasks = tools.call("list_tasks", filter=which)["tasks"]
        return [task["id"] for task in tasks] or "There are no such tasks."
    if which is None and is_vague(target):
        return f"{WHICH} Say {_SPOKEN[command.verb]}, for example."
    tasks = tools.call("list_tasks", filter="all")["tasks"]
    matches = exactly(tasks, target)
    is_sure = bool(matches) and which is None
    if not matches:
        matches = by_words(tasks, target)
        is_sure = bool(matches) and command.verb != "delete"  # only what was named clearly goes
    matches = matches or by_letters(tasks, target)
    if len(matches) > 1 and preferred == "active":
        matches = [task for task in matches if not task["completed"]] or matches
    if not matches:
        title = (spellings(target) or [""])[-1][:SHOWN_CHARACTERS]
        return f"I found no task '{title}'. \"Show my tasks\" lists what there is."
    if len(matches) == 1 and is_sure:
        return [matches[0]["id"]]
    or_yes = ", or with yes" if len(matches) == 1 else ""
    return f"{WHICH}\n{lines(matches, len(matches))}\nAnswer with its number{or_yes}."


def _is_clear(tools: Toolbox, command: Command) -> bool:
    """Return whether "delete completed" can't mean a task with just that title."""
    if command.verb != "delete" or NOUNS.intersection(words(command.target)):
        return True
    return not exactly(tools.call("list_tasks", filter="all")["tasks"], command.target)


def lines(tasks: list[Task], count: int) -> str:
    """Return the lines of a list: number, title and status of each task, the first of them."""
    shown = [
        f"{task['id']}. {task['title']} ({'completed' if task['completed'] else 'active'})"
        for task in tasks[:SHOWN_MAX]
    ]
    if count > len(shown):
        shown.append(f"... and {count - len(shown)} more")
    return "\n".join(shown)


def reading_meant(tools: Toolbox, command: Command) -> Command | None:
    """Return which of its readings the command has, by the tasks that there are; None: unclear."""
    readings = [command, *command.others]
    if len(readings) == 1 or numbers(command.target):
        return command
    tasks = tools.call("list_tasks", filter="all")["tasks"]
    for fits in (exactly, by_words):
        if fitting := [reading for reading in readings if fits(tasks, reading.target)]:
            return fitting[0] if len(fitting) == 1 else None
    return command


def answer_to_which(window: Sequence[MessageEntry], message: str) -> Command | None:
    """Take a number, a title or a yes, after we asked which task is meant, for the answer to that.

    What was asked for may stand further up, if we asked again.
    """
    asked, last = None, len(window) - 1
    while asked is None and last > 0 and window[last].content.startswith(WHICH):
        asked = phrases.understand(window[last - 1].content)
        last -= 2
    if asked is None or (not numbers(message) and phrases.understand(message)):
        return None
    target = message.strip()
    shown = {int(number) for number in _SHOWN.findall(window[-1].content)}
    spoken = set(words(target[:SHOWN_CHARACTERS]))
    if spoken & _YES and spoken <= _YES | _BESIDE_YES:
        target = str(*shown) if len(shown) == 1 else ""
    elif asked.verb == "delete" and shown and not shown.issuperset(numbers(target) or []):
        target = ""  # another number than those we asked about may be a slip
    return replace(asked, target=target, others=())
