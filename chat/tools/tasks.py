"""The task tools of the assistant: their effects and results.

A tool gets the user id from the token, never from a parameter. What it refuses is a result,
`{"success": false, "error": "..."}`; nothing was written then. The caller holds the user's lock and
a transaction (chat.tools.toolbox).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from pydantic import ValidationError

from chat.models import ChatUser, Task
from chat.tools.parameters import (
    AddTask,
    CompleteTask,
    DeleteTask,
    ListTasks,
    Parameters,
    UpdateTask,
)
from common.validation import in_words

LIST_MAX_BYTES = 32_768
MAX_TASKS = 10_000

Result = dict[str, Any]


class ToolRefused(Exception):
    """The tool can't do it. The text tells the assistant why."""


def add_task(user_id: str, parameters: AddTask) -> Result:
    """Add a task under the user's next number."""
    if Task.objects.filter(user_id=user_id).count() >= MAX_TASKS:
        raise ToolRefused(f"There are {MAX_TASKS} tasks already; delete some first.")
    user = ChatUser.objects.get(pk=user_id)
    task = Task.objects.create(
        user_id=user_id,
        number=user.next_task_id(),
        title=parameters.title,
        description=parameters.description or "",
    )
    return {"task_id": task.number, "task": _described(task, "completed", "created_at")}


def list_tasks(user_id: str, parameters: ListTasks) -> Result:
    """List tasks by number; as many as fit into a result, which says so when some are left out."""
    tasks = Task.objects.filter(user_id=user_id)
    if parameters.filter != "all":
        tasks = tasks.filter(completed=parameters.filter == "completed")
    shown: list[Result] = []
    size = count = 0
    for task in tasks.order_by("number"):
        count += 1
        entry = _described(task, "completed", "created_at")
        size += len(json.dumps(entry, ensure_ascii=False).encode()) + 2
        if size <= LIST_MAX_BYTES:
            shown.append(entry)
    result: Result = {"tasks": shown, "count": count, "filter": parameters.filter}
    if len(shown) < count:
        result["truncated"] = f"only the first {len(shown)} of {count} tasks are shown"
    return result


def complete_task(user_id: str, parameters: CompleteTask) -> Result:
    """Mark a task as complete; the second time changes nothing."""
    task = find(user_id, parameters.task_id)
    result: Result = {}
    if task.completed:
        result["message"] = "Task was already complete"
    else:
        task.completed = True
        task.updated_at = timezone.now()
        task.save(update_fields=["completed", "updated_at"])
    result["task"] = {
        "id": task.number,
        "title": task.title,
        "completed": True,
        "updated_at": _shown(task.updated_at),
    }
    return result


def update_task(user_id: str, parameters: UpdateTask) -> Result:
    """Change title or description."""
    task = find(user_id, parameters.task_id)
    if parameters.title is not None:
        task.title = parameters.title
    if parameters.description is not None:
        task.description = parameters.description
    task.updated_at = timezone.now()
    task.save(update_fields=["title", "description", "updated_at"])
    return {"task": _described(task, "completed", "updated_at")}


def delete_task(user_id: str, parameters: DeleteTask) -> Result:
    """Delete a task. Its number stays used."""
    task = find(user_id, parameters.task_id)
    task.delete()
    return {"task_id": parameters.task_id, "title": task.title}


def find(user_id: str, number: int) -> Task:
    """Return the user's task.

    Raises:
        ToolRefused: the user has no such task.
    """
    task = Task.objects.filter(user_id=user_id, number=number).first()
    if task is None:
        raise ToolRefused(f"There is no task {number}.")
    return task


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool by its parameters and its effect."""

    parameters: type[Parameters]
    run: Callable[[str, Any], Result]

    def parse(self, arguments: object) -> Parameters:
        """Validate the arguments.

        Raises:
            ToolRefused: they are not what the tool takes.
        """
        try:
            return self.parameters.model_validate(arguments)
        except ValidationError as error:
            fields = self.parameters.model_fields
            named = (
                name if field.is_required() else f"{name} (optional)"
                for name, field in fields.items()
            )
            reason = in_words(error, fields, whole="parameters")
            raise ToolRefused(f"{reason}. The parameters are: {', '.join(named)}.") from None


TOOLS: dict[str, Tool] = {
    "add_task": Tool(AddTask, add_task),
    "list_tasks": Tool(ListTasks, list_tasks),
    "complete_task": Tool(CompleteTask, complete_task),
    "update_task": Tool(UpdateTask, update_task),
    "delete_task": Tool(DeleteTask, delete_task),
}


def _described(task: Task, *more: str) -> Result:
    """Return the task as results show it, with these fields more."""
    described = {"id": task.number, "title": task.title, "description": task.description}
    return described | {name: _shown(getattr(task, name)) for name in more}


def _shown(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    return value
