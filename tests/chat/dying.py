"""A process that is killed at a step of a turn, and one that looks at what is left.

`python -m tests.chat.dying STEP` answers a message and kills itself by SIGKILL at that step;
`python -m tests.chat.dying repeat` lets all leases end and sends the same request again;
`python -m tests.chat.dying flush` lets them end and flushes. The latter two print what there is.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import mock

MESSAGE = "add milk"
STEPS = ("accepted", "read", "in a tool", "after a tool", "answered", "saving", "saved", "stored")


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying_before(path: str) -> Any:
    return mock.patch(path, side_effect=die)


def dying_after(path: str, function: Callable[..., Any]) -> Any:
    return mock.patch(path, side_effect=lambda *args: (function(*args), die()))


def patch_for(step: str) -> Any:
    from chat.assistant.builtin import BuiltinAssistant
    from chat.toolbox import Toolbox
    from chat.turns import document, store

    return {
        "accepted": lambda: dying_before("chat.turns.answer.document.read"),
        "read": lambda: mock.patch.object(BuiltinAssistant, "answer", side_effect=die),
        "in a tool": lambda: dying_before("chat.toolbox._shown"),
        "after a tool": lambda: dying_after_call(Toolbox),
        "answered": lambda: dying_before("chat.turns.answer.store_waiting"),
        "saving": lambda: dying_before("chat.turns.store.document.save"),
        "saved": lambda: dying_after("chat.turns.store.document.save", document.save),
        "stored": lambda: dying_after("chat.turns.store.mark_stored", store.mark_stored),
    }[step]()


def dying_after_call(toolbox: Any) -> Any:
    original = toolbox.call_all

    def call_all(self: Any, calls: Any) -> None:
        original(self, calls)
        die()

    return mock.patch.object(toolbox, "call_all", call_all)


def ask() -> None:
    from chat.turns.accept import ChatRequest
    from chat.turns.answer import answer

    answer(ChatRequest("alice", MESSAGE, "c1", "key"))


def lapse() -> None:
    from django.utils import timezone

    from chat.models import Turn

    Turn.objects.exclude(lease_until=None).update(lease_until=timezone.now() - timedelta(seconds=1))


def what_is_left() -> dict[str, Any]:
    from chat.conversation import ConversationKey
    from chat.models import Task, Turn
    from chat.repository import conversation_repository

    stored = conversation_repository().get(ConversationKey("alice", "c1"), time.monotonic() + 5)
    return {
        "messages": [(m.role, m.content) for m in stored.state.messages],
        "tool calls": [len(m.tool_calls or ()) for m in stored.state.messages],
        "turns": list(Turn.objects.values_list("state", "reply")),
        "tasks": list(Task.objects.values_list("number", "title")),
    }


def main(step: str) -> None:
    import django

    django.setup()
    if step in STEPS:
        with patch_for(step):
            ask()
        raise SystemExit(f"did not reach the step {step!r}")
    lapse()
    if step == "repeat":
        ask()
    else:
        from chat.turns.flush import flush_all

        flush_all()
    print(json.dumps(what_is_left()))


if __name__ == "__main__":
    main(sys.argv[1])
