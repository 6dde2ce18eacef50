"""The assistant on a model without a turn: nothing is stored, and the tools do nothing."""

from chat.assistant.model import ModelAssistant
from chat.conversations.state import MessageEntry
from chat.deadline import Deadline
from chat.live.waiting import take
from chat.live.words import Words
from chat.models import Turn
from chat.tools.toolbox import Call
from tests.chat.model_server.imitation import MILK
from tests.chat.samples import MORNING

ADD = Call("add_task", MILK)


class Tools:
    """A toolbox that does nothing, and keeps what it was asked.

    `is_followed`: somebody follows the words of the turn, so the model is asked to stream.
    """

    is_followed = False

    def __init__(self, result=None) -> None:
        self.result = {"success": True} if result is None else result
        self.calls: list[Call] = []
        self.done: list[dict] = []
        self.words = Words(Turn(), is_followed=self.is_followed)

    def call_all(self, calls):
        self.calls += calls
        self.done += [
            {"tool": one.tool, "parameters": MILK, "result": self.result} for one in calls
        ]
        return [self.result for _ in calls]


def answered(tools=None, window=(), message="hello") -> str:
    return take(ModelAssistant().answer(window, message, tools or Tools(), Deadline(20)))


def entry(role: str, content: str, *calls: dict) -> MessageEntry:
    return MessageEntry.model_validate(
        {"role": role, "content": content, "timestamp": MORNING, "tool_calls": list(calls) or None}
    )


def done(result: dict) -> dict:
    return {"tool": "list_tasks", "parameters": {}, "result": result}


USER, ASSISTANT = entry("user", "old question"), entry("assistant", "old answer")
CALLED = entry("assistant", "", done({"success": True}))
