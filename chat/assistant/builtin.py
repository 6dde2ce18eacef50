"""The built-in assistant: task commands in plain English, by rules, through the same tools.

It asks for its tools in an order that follows from the message alone and from what they answered,
so a turn that is taken up again finds each answer in the journal (Toolbox.replay).
"""

from collections.abc import Callable, Sequence
from typing import Any

from chat.assistant import phrases
from chat.assistant.phrases import Command
from chat.conversation import MessageEntry
from chat.deadline import Deadline
from chat.toolbox import NEEDS_CONFIRMATION, Call, Toolbox

Task = dict[str, Any]

SHOWN_MAX = 50
WHICH = "Which task do you mean?"
ABILITIES = (
    "I look after your task list. Try one of these:\n"
    '- "add buy milk"\n'
    '- "show my tasks", or only the "active" or "completed" ones\n'
    '- "complete 2", or "mark buy milk as done"\n'
    '- "rename 2 to buy oat milk"\n'
    '- "delete 2", or "delete all completed tasks"'
)


class BuiltinAssistant:
    """Answers without a model."""

    def answer(
        self,
        window: Sequence[MessageEntry],
        message: str,
        tools: Toolbox,
        deadline: Deadline,
    ) -> str:
        """Return the reply. It never fails: what it does not understand, it says."""
        tools.replay()
        if tools.confirmed_deletes:
            return _delete_numbers(tools, tools.confirmed_deletes)
        command = _follow_up(window, message) or phrases.understand(message)
        if command is None:
            return f"I can't help with that. {ABILITIES}"
        return _ANSWERS[command.verb](tools, command)


def _follow_up(window: Sequence[MessageEntry], message: str) -> Command | None:
    """Take a bare number, after we asked which task is meant, for the answer to that."""
    if len(window) < 2 or not window[-1].content.startswith(WHICH):
        return None
    asked = phrases.understand(window[-2].content)
    if asked is None or not phrases.numbers(message.strip()):
        return None
    return Command(asked.verb, message.strip(), asked.title, asked.description, asked.filter)


def _help(tools: Toolbox, command: Command) -> str:
    return f"Hello! {ABILITIES}"


def _decline(tools: Toolbox, command: Command) -> str:
    return "All right, I leave everything as it is."


def _add(tools: Toolbox, command: Command) -> str:
    if not command.title:
        return 'What shall the task be called? Say "add buy milk", for example.'
    arguments: dict[str, Any] = {"title": command.title}
    if command.description is not None:
        arguments["description"] = command.description
    result = tools.call("add_task", **arguments)
    if not result["success"]:
        return f"I could not add that: {result['error']}"
    return (
        f"I've added '{result['task']['title']}' to your task list, as number {result['task_id']}."
    )


def _list(tools: Toolbox, command: Command) -> str:
    result = tools.call("list_tasks", filter=command.filter)
    kind = "" if command.filter == "all" else f"{command.filter} "
    if not result["tasks"]:
        return f"You have no {kind}tasks."
    noun = "task" if result["count"] == 1 else "tasks"
    return f"You have {result['count']} {kind}{noun}:\n{_lines(result['tasks'], result['count'])}"


def _complete(tools: Toolbox, command: Command) -> str:
    found = _find(tools, command, "active")
    if isinstance(found, str):
        return found
    results = tools.call_all([Call("complete_task", {"task_id": number}) for number in found])
    return "\n".join(_completed(result) for result in results)


def _completed(result: Task) -> str:
    if not result["success"]:
        return str(result["error"])
    if "message" in result:
        return f"'{result['task']['title']}' was complete already."
    return f"Well done! '{result['task']['title']}' is complete."


def _update(tools: Toolbox, command: Command) -> str:
    if not command.title and command.description is None:
        return 'What shall I change? Say "rename 2 to buy oat milk", for example.'
    found = _find(tools, command, "all")
    if isinstance(found, str):
        return found
    if len(found) != 1:
        return "I can change one task at a time. Which one?"
    arguments: dict[str, Any] = {"task_id": found[0]}
    if command.title:
        arguments["title"] = command.title
    if command.description is not None:
        arguments["description"] = command.description
    result = tools.call("update_task", **arguments)
    if not result["success"]:
        return f"I could not change that: {result['error']}"
    return f"Task {result['task']['id']} is now '{result['task']['title']}'."


def _delete(tools: Toolbox, command: Command) -> str:
    found = _find(tools, command, "all")
    if isinstance(found, str):
        return found
    return _delete_numbers(tools, found)


def _delete_numbers(tools: Toolbox, found: list[int]) -> str:
    """Delete them. Those that wait for the user's word are asked about below the reply."""
    found, too_many = found[: tools.calls_left], found[tools.calls_left :]
    results = tools.call_all([Call("delete_task", {"task_id": number}) for number in found])
    deleted = [str(result["title"]) for result in results if result["success"]]
    errors = [str(result["error"]) for result in results if not result["success"]]
    lines = [f"I've deleted {', '.join(repr(title) for title in deleted)}."] if deleted else []
    lines += [error for error in errors if error != NEEDS_CONFIRMATION]
    if too_many:
        lines.append(
            f"{len(too_many)} more (number {_listed(too_many)}) stay: they are too many for one "
            "message. Ask for them again afterwards."
        )
    return "\n".join(lines)


def _listed(numbers: list[int]) -> str:
    listed = ", ".join(str(number) for number in numbers[:SHOWN_MAX])
    return listed if len(numbers) <= SHOWN_MAX else f"{listed} and others"


def _find(tools: Toolbox, command: Command, preferred: str) -> list[int] | str:
    """Return the numbers of the tasks that are meant, or what to ask back."""
    target = command.target
    if not target:
        return f'{WHICH} Say "{command.verb} 2", for example.'
    if (named := phrases.numbers(target)) is not None:
        return named
    if (which := phrases.whole_list(target)) is not None:
        tasks = tools.call("list_tasks", filter=which)["tasks"]
        return [task["id"] for task in tasks] or "There are no such tasks."
    tasks = tools.call("list_tasks", filter="all")["tasks"]
    matches = _matching(tasks, phrases.title_of(target))
    if len(matches) > 1 and preferred == "active":
        matches = [task for task in matches if not task["completed"]] or matches
    if not matches:
        return (
            f"I found no task '{phrases.title_of(target)}'. \"Show my tasks\" lists what there is."
        )
    if len(matches) > 1:
        return f"{WHICH}\n{_lines(matches, len(matches))}\nAnswer with its number."
    return [matches[0]["id"]]


def _matching(tasks: list[Task], title: str) -> list[Task]:
    """Tasks with exactly this title, else with it in theirs, else with all of its words."""
    wanted = title.casefold()
    words = set(wanted.split())
    rules: list[Callable[[str], bool]] = [
        lambda other: other == wanted,
        lambda other: wanted in other,
        lambda other: bool(words) and words <= set(other.split()),
    ]
    for matches in rules:
        if found := [task for task in tasks if matches(task["title"].casefold())]:
            return found
    return []


def _lines(tasks: list[Task], count: int) -> str:
    lines = [
        f"{task['id']}. {task['title']} ({'completed' if task['completed'] else 'active'})"
        for task in tasks[:SHOWN_MAX]
    ]
    if count > len(lines):
        lines.append(f"... and {count - len(lines)} more")
    return "\n".join(lines)


_ANSWERS: dict[str, Callable[[Toolbox, Command], str]] = {
    "help": _help,
    "decline": _decline,
    "add": _add,
    "list": _list,
    "complete": _complete,
    "update": _update,
    "delete": _delete,
}
