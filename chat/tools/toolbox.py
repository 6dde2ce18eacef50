"""The tools of one turn: each effect is in the turn's journal, and happens once.

An effect and its journal entry share a transaction, which also checks that the turn is still ours:
its row is there (the conversation was not deleted) under our lease.
"""

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from chat.conversations.json_values import check_object, clean_text
from chat.live.words import Words
from chat.locks import user_transaction
from chat.models import Turn
from chat.tools.parameters import DeleteTask, Parameters
from chat.tools.tasks import TOOLS, Result, Tool, ToolRefused, find

MAX_CALLS = 32
TOO_MANY_CALLS = {"success": False, "error": f"A turn may call at most {MAX_CALLS} tools."}
NEEDS_CONFIRMATION = (
    "Deleting more than one task needs the user's confirmation. They are asked for it below your "
    "reply. After a 'yes' in their next message, call the tool again."
)
ARGUMENTS_MAX_BYTES = 8_192
NAME_MAX_CHARACTERS = 64
INVALID_SHOWN_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call as the assistant asks for it. `arguments` are parsed JSON, of any type."""

    tool: str
    arguments: object


class Toolbox:
    """The tools that the assistant of a turn may call.

    A turn that is taken up again has a journal already. `done` returns it; `replay`, for an
    assistant that begins again, answers calls from it before any is carried out.

    `words` are those of the turn: calls that are done are told by them, and their user's stop
    keeps further calls from being made.
    """

    def __init__(self, turn: Turn, words: Words | None = None) -> None:
        self._turn = turn
        self.words = words or Words(turn)
        self._replayed: int | None = None

    @property
    def done(self) -> list[dict[str, Any]]:
        """The calls so far, each `{tool, parameters, result}` as in the contract."""
        return list(self._turn.tool_calls)

    @property
    def confirmed_deletes(self) -> list[int]:
        """The ids of the tasks whose deletion this message confirms."""
        return list(self._turn.confirmed_deletes)

    @property
    def calls_left(self) -> int:
        """How many more calls the turn may make; those answered from the journal count."""
        made = len(self._turn.tool_calls) if self._replayed is None else self._replayed
        return max(0, MAX_CALLS - made)

    def replay(self) -> None:
        """Answer the calls to come from the journal first."""
        self._replayed = 0

    def call(self, tool: str, **arguments: Any) -> Result:
        """Carry out one call, and return its result."""
        return self.call_all([Call(tool, arguments)])[0]

    def call_all(self, calls: Sequence[Call]) -> list[Result]:
        """Carry out calls that were asked for together, each in a transaction of its own.

        Raises:
            TurnConflict: the conversation was deleted, or another process has the turn now.
            Stopped: by the user, before one of the calls.
        """
        deletes = {task_id for call in calls if (task_id := _deletes(call)) is not None}
        return [self._one(call, deletes) for call in calls]

    def _one(self, call: Call, deletes: set[int]) -> Result:
        if self._replayed is not None and self._replayed < len(self._turn.tool_calls):
            entry: dict[str, Any] = self._turn.tool_calls[self._replayed]
            self._replayed += 1
            result: Result = entry["result"]
            return result
        if len(self._turn.tool_calls) > MAX_CALLS:  # the journal says already that it was too much
            return TOO_MANY_CALLS
        self.words.check()
        with user_transaction(self._turn.user_id):
            row = self._lock()
            result = self._carry_out(row, call, deletes)
            row.tool_calls.append(
                {
                    "tool": call.tool[:NAME_MAX_CHARACTERS],
                    "parameters": shown_arguments(call),
                    "result": result,
                }
            )
            row.save(update_fields=["tool_calls"])
        self._turn.tool_calls = row.tool_calls
        self.words.note_change()
        if self._replayed is not None:
            self._replayed += 1
        return result

    def _lock(self) -> Turn:
        row = Turn.objects.under_lease_of(self._turn).select_for_update().first()
        if row is None:
            raise self._turn.lost()
        return row

    def _carry_out(self, row: Turn, call: Call, deletes: set[int]) -> Result:
        try:
            if len(row.tool_calls) >= MAX_CALLS:
                return TOO_MANY_CALLS
            tool, parameters = _parse(call)
            if isinstance(parameters, DeleteTask):
                _check_confirmed(row, parameters.task_id, deletes)
            return {"success": True, **tool.run(row.user_id, parameters)}
        except ToolRefused as refusal:
            return {"success": False, "error": str(refusal)}


def _parse(call: Call) -> tuple[Tool, Parameters]:
    if call.tool not in TOOLS:
        raise ToolRefused(f"There is no such tool. There are: {', '.join(TOOLS)}.")
    if not isinstance(call.arguments, dict):
        raise ToolRefused("The arguments must be a JSON object.")
    if _size(call.arguments) > ARGUMENTS_MAX_BYTES:
        raise ToolRefused(f"The arguments may have at most {ARGUMENTS_MAX_BYTES} bytes.")
    tool = TOOLS[call.tool]
    return tool, tool.parse(call.arguments)


def _check_confirmed(row: Turn, task_id: int, together: set[int]) -> None:
    """Allow one deletion without asking, several only after the user's next message confirmed it.

    That the model says the user agreed proves nothing: texts that the user pasted speak to it too.
    """
    find(row.user_id, task_id)
    if task_id in row.confirmed_deletes:
        return
    in_turn = {*row.confirmed_deletes, *together} | {
        entry["parameters"]["task_id"]
        for entry in row.tool_calls
        # a refused call is journalled with whatever its arguments were
        if entry["tool"] == "delete_task" and type(entry["parameters"].get("task_id")) is int
    }
    if in_turn <= {task_id}:
        return
    raise ToolRefused(NEEDS_CONFIRMATION)


def _deletes(call: Call) -> int | None:
    """Return the id of the task that the call would delete, None if it is no valid deletion."""
    try:
        parameters = _parse(call)[1]
    except ToolRefused:
        return None
    return parameters.task_id if isinstance(parameters, DeleteTask) else None


def _size(arguments: object) -> float:
    try:
        return len(json.dumps(arguments).encode())
    except RecursionError:  # too deep is too large
        return math.inf


def shown_arguments(call: Call) -> dict[str, Any]:
    """Return the arguments for the journal, as the tool takes them: a task's number is a number.

    Of those that it refuses, what the document can't hold is cut and cleaned.
    """
    arguments = call.arguments
    with suppress(ToolRefused):
        return _parse(call)[1].model_dump(exclude_unset=True)
    if isinstance(arguments, dict) and _size(arguments) <= ARGUMENTS_MAX_BYTES:
        try:
            return check_object(arguments)
        except ValueError:
            pass
    try:
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    except RecursionError:
        text = "nested too deeply"
    return {"invalid_arguments": clean_text(text)[:INVALID_SHOWN_CHARACTERS]}
