"""Processes that halt at a step of a turn, and others that come after them.

`python -m tests.chat.halted FATE THEN` does this at each step, every time with a user of its own: a
process answers a message, and is killed (SIGKILL) or frozen (SIGSTOP) at the step; its leases end;
another process does THEN; one that was frozen goes on. It prints what is left, by the step.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from typing import Any
from unittest import mock

MESSAGE = "add milk"
STEPS = ("accepted", "read", "in a tool", "after a tool", "answered", "saving", "saved", "stored")
SIGNALS = {"killed": signal.SIGKILL, "frozen": signal.SIGSTOP}


def steps_of(fate: str) -> tuple[str, ...]:
    """Where a process may meet its fate.

    Not frozen in a tool: it is in a transaction of the database there, for which others wait.
    """
    return tuple(step for step in STEPS if (fate, step) != ("frozen", "in a tool"))


# --- The process that halts -----------------------------------------------------------------------


def halting_at(step: str, fate: str) -> AbstractContextManager[Any]:
    """Halt the first time that the turn comes to the step."""
    from chat.assistant.builtin import BuiltinAssistant
    from chat.tools import toolbox
    from chat.turns import answer, store
    from chat.turns.open_conversation import OpenConversation

    owner, name, comes_first = {
        "accepted": (OpenConversation, "read", False),
        "read": (BuiltinAssistant, "answer", False),
        "in a tool": (toolbox, "shown_arguments", False),
        "after a tool": (toolbox.Toolbox, "call_all", True),
        "answered": (answer, "store_turn", False),
        "saving": (OpenConversation, "save", False),
        "saved": (OpenConversation, "save", True),
        "stored": (store, "mark_stored", True),
    }[step]
    original = getattr(owner, name)
    signals = [SIGNALS[fate]]

    def halt() -> None:
        if signals:
            os.kill(os.getpid(), signals.pop())

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if not comes_first:
            halt()
        result = original(*args, **kwargs)
        halt()
        return result

    return mock.patch.object(owner, name, wrapper)


def halted_turn(step: str, fate: str, user: str) -> str:
    with halting_at(step, fate):
        return ask(user)


# --- What comes after it --------------------------------------------------------------------------


def ask(user: str, message: str = MESSAGE, idempotency_key: str = "key") -> str:
    """Send a message; return what came of it."""
    from chat.errors import ChatError
    from chat.turns.accept import ChatRequest
    from chat.turns.answer import answer

    try:
        turn = answer(ChatRequest(user, message, "c1", idempotency_key))
    except ChatError as error:
        return error.code
    return "degraded" if turn.degraded else "answered"


def lapse() -> None:
    """Let all leases end, as if much time had passed."""
    from django.utils import timezone

    from chat.models import Conversation, Turn

    for model in (Turn, Conversation):
        leased = model.objects.exclude(lease_until=None)
        leased.update(lease_until=timezone.now() - timedelta(seconds=1))


def repeat(user: str) -> str:
    lapse()
    return ask(user)


def next_message(user: str) -> str:
    lapse()
    return ask(user, "add bread", "another key")


def flush(user: str) -> str:
    from chat.turns.flush import flush_all

    lapse()
    return str(flush_all(user))


def delete(user: str) -> str:
    """Under a living lease: the turn is in flight."""
    from chat.conversations.state import ConversationKey
    from chat.deadline import Deadline
    from chat.turns.deletion import delete_conversation

    return str(delete_conversation(ConversationKey(user, "c1"), Deadline(5)))


THEN = {"repeat": repeat, "next": next_message, "flush": flush, "delete": delete}


def what_is_left(user: str) -> dict[str, Any]:
    from chat.conversations.state import ConversationKey
    from chat.errors import StoreMissing
    from chat.models import Conversation, Task, Turn
    from chat.repository import conversation_repository

    try:
        key = ConversationKey(user, "c1")
        messages = conversation_repository().get(key, time.monotonic() + 5).state.messages
    except StoreMissing:
        messages = []
    row = Conversation.objects.get(user_id=user)
    return {
        "messages": [(m.role, m.content) for m in messages],
        "tool calls": [len(m.tool_calls or ()) for m in messages],
        "turns": list(Turn.objects.filter(user_id=user).values_list("state", "reply")),
        "tasks": list(Task.objects.filter(user_id=user).values_list("number", "title")),
        "row": (row.active, row.message_count, row.deletion_pending),
    }


# --- Each in a process of its own -----------------------------------------------------------------


class Process:
    """A function in a fork of this process, which itself never opens a connection."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._run(function, writer)
        os.close(writer)

    def _run(self, function: Callable[[], Any], writer: int) -> None:
        try:
            os.write(writer, json.dumps(function()).encode())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    def halted_by(self) -> int | None:
        """Wait until it ends or stops; return the signal that made it."""
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            return os.WSTOPSIG(status)
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else None

    def result(self) -> Any:
        """What the function returned."""
        with os.fdopen(self._reader) as reader:
            text = reader.read()
        os.waitpid(self.pid, 0)
        return json.loads(text)


def left_after(fate: str, step: str, then: str) -> dict[str, Any]:
    user = f"{fate} at {step} then {then}"
    halting = Process(partial(halted_turn, step, fate, user))
    assert halting.halted_by() == SIGNALS[fate], f"did not halt at the step {step!r}"
    try:
        outcome = Process(partial(THEN[then], user)).result()
    finally:
        if fate == "frozen":
            os.kill(halting.pid, signal.SIGCONT)
    late = halting.result() if fate == "frozen" else None
    left = Process(partial(what_is_left, user)).result()
    return {"then": outcome, "late": late, **left}


def import_all() -> None:
    """Import what every fork needs, once."""
    from django.core.handlers import exception  # noqa: F401

    from chat.assistant import builtin, model  # noqa: F401
    from chat.repository import breaker, dapr, redis, transport  # noqa: F401
    from chat.turns import answer, deletion, flush  # noqa: F401


def main(fate: str, then: str) -> None:
    import django

    django.setup()
    import_all()
    print(json.dumps({step: left_after(fate, step, then) for step in steps_of(fate)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
