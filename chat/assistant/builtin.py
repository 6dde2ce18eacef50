"""The built-in assistant: task commands in plain English, by rules, through the same tools.

It asks for its tools in an order that follows from the message alone and from what they answered,
so a turn that is taken up again finds each answer in the journal (Toolbox.replay).
"""

from collections.abc import Callable, Sequence
from typing import Any

from chat.assistant import phrases
from chat.assistant.choosing import (
    SHOWN_MAX,
    WHICH,
    answer_to_which,
    choose,
    lines,
    reading_meant,
)
from chat.assistant.finding import Task
from chat.assistant.phrases.command import Command
from chat.conversations.state import MessageEntry
from chat.deadline import Deadline
from chat.tools.toolbox import NEEDS_CONFIRMATION, Call, Toolbox

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
        command = answer_to_which(window, message) or phrases.understand(message)
        if command is None:
            return f"I can't help with that. {ABILITIES}"
        return _ANSWERS[command.verb](tools, command)


def _help(tools: Toolbox, command: Command) -> str:
    return f"Hello! {ABILITIES}"


def _decline(tools: Toolbox, command: Command) -> str:
    return "All right, I leave everything as it is."


def _thanks(tools: Toolbox, command: Command) -> str:
    return "You're welcome!"


def _reopen(tools: Toolbox, command: Command) -> str:
    return (
        "A task is active until you complete it. I can't undo that: add it again to have it back."
    )


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
    return f"You have {result['count']} {kind}{noun}:\n{lines(result['tasks'], result['count'])}"


def _complete(tools: Toolbox, command: Command) -> str:
    found = choose(tools, command, "active")
    if isinstance(found, str):
        return found
    results = tools.call_all([Call("complete_task", {"task_id": number}) for number in found])
    return "\n".join(dict.fromkeys(_completed(result) for result in results))


def _completed(result: Task) -> str:
    if not result["success"]:
        return str(result["error"])
    if "message" in result:
        return f"'{result['task']['title']}' was complete already."
    return f"Well done! '{result['task']['title']}' is complete."


def _update(tools: Toolbox, command: Command) -> str:
    if not command.title and command.description is None:
        return 'What shall I change? Say "rename 2 to buy oat milk", for example.'
    meant = reading_meant(tools, command)
    if meant is None:
        return 'Where does the new title begin? Say \'rename "buy milk" to "buy oat milk"\'.'
    return _change(tools, meant) if meant.verb == "update" else _ANSWERS[meant.verb](tools, meant)


def _change(tools: Toolbox, command: Command) -> str:
    found = choose(tools, command, "all")
    if isinstance(found, str):
        return found
    if len(found) != 1:
        return f"{WHICH} I can change one at a time."
    arguments: dict[str, Any] = {"task_id": found[0]}
    if command.title:
        arguments["title"] = command.title
    if command.description is not None:
        arguments["description"] = command.description
    result = tools.call("update_task", **arguments)
    if not result["success"]:
        return f"I could not change that: {result['error']}"
    changed = f"Task {result['task']['id']} is now '{result['task']['title']}'"
    if command.description is None:
        return f"{changed}."
    return f"{changed}, with the description '{result['task']['description']}'."


def _delete(tools: Toolbox, command: Command) -> str:
    found = choose(tools, command, "all")
    if isinstance(found, str):
        return found
    return _delete_numbers(tools, found)


def _delete_numbers(tools: Toolbox, found: list[int]) -> str:
    """Delete them. Those that wait for the user's word are asked about below the reply."""
    found, too_many = found[: tools.calls_left], found[tools.calls_left :]
    results = tools.call_all([Call("delete_task", {"task_id": number}) for number in found])
    deleted = [str(result["title"]) for result in results if result["success"]]
    errors = [str(result["error"]) for result in results if not result["success"]]
    said = [f"I've deleted {', '.join(repr(title) for title in deleted)}."] if deleted else []
    said += [error for error in errors if error != NEEDS_CONFIRMATION]
    if too_many:
        said.append(
            f"{len(too_many)} more (number {_listed(too_many)}) stay: they are too many for one "
            "message. Ask for them again afterwards."
        )
    return "\n".join(said)


def _listed(numbers: list[int]) -> str:
    listed = ", ".join(str(number) for number in numbers[:SHOWN_MAX])
    return listed if len(numbers) <= SHOWN_MAX else f"{listed} and others"


_ANSWERS: dict[str, Callable[[Toolbox, Command], str]] = {
    "help": _help,
    "decline": _decline,
    "reopen": _reopen,
    "thanks": _thanks,
    "add": _add,
    "list": _list,
    "complete": _complete,
    "update": _update,
    "delete": _delete,
}
