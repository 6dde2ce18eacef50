"""What the tools of a turn did, in words of ours, for a model that calls them and says nothing."""

from collections.abc import Callable, Sequence
from typing import Any

from chat.assistant.builtin import task_lines
from chat.tools.toolbox import NEEDS_CONFIRMATION

Json = dict[str, Any]


def done_in_words(calls: Sequence[Json]) -> str:
    """Return what the calls did, a line for each, "" if there are none.

    Args:
        calls: `{tool, parameters, result}` as in the contract.
    """
    return "\n".join(dict.fromkeys(filter(None, map(_line, calls))))


def has_effect(calls: Sequence[Json]) -> bool:
    """Whether one of the calls changed something."""
    return any(call["tool"] != "list_tasks" and call["result"].get("success") for call in calls)


def _line(call: Json) -> str:
    result = call["result"]
    if result.get("success"):
        return _LINES[call["tool"]](result)
    if result["error"] == NEEDS_CONFIRMATION:
        return "Deleting more than one task needs your word."
    return f"Something could not be done: {result['error']}"


_LINES: dict[str, Callable[[Json], str]] = {
    "add_task": lambda result: (
        f"I've added '{result['task']['title']}' as task {result['task_id']}."
    ),
    "list_tasks": lambda result: (
        f"Tasks ({result['filter']}):\n{task_lines(result['tasks'], result['count'])}"
        if result["count"]
        else f"There are no tasks ({result['filter']})."
    ),
    "complete_task": lambda result: f"'{result['task']['title']}' is complete.",
    "update_task": lambda result: (
        f"I've changed task {result['task']['id']}: '{result['task']['title']}'."
    ),
    "delete_task": lambda result: f"I've deleted '{result['title']}'.",
}
