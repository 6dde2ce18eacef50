"""The forms of a conversation that a model's server may take, where it refuses the usual one.

What a server refuses stays in a conversation, which would be dead for ever: so in the end the model
is asked without what was said before.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from chat.conversations.json_values import encoded_size
from chat.model_server.answers import THOUGHTS
from chat.model_server.messages import SIGNATURE, Part, Turn, fill_in, messages_within
from chat.model_server.refusals import (
    ContextTooLong,
    OtherWanted,
    SignaturesWanted,
    ThoughtsWanted,
)

CONTEXT_MIN_BYTES = 4_096
GO_ON = "(Go on.)"

Json = dict[str, Any]
Change = Callable[[Sequence[Turn]], list[Turn]]


class Form:
    """The form in which a server is sent a conversation: the usual one, until it refuses that."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._filled: set[str] = set()
        self._changes: list[Change] = []

    def messages(self, turns: Sequence[Turn]) -> list[Json]:
        """Return turns as messages of the protocol, in this form."""
        for change in self._changes:
            turns = change(turns)
        messages = messages_within(turns, self._max_bytes)
        for message in messages:
            fill_in(message, self._filled)
        return messages

    def adapt(self, refusal: OtherWanted, turns: Sequence[Turn]) -> bool:
        """Change the form after a refusal of these turns; return whether there is another one."""
        messages = self.messages(turns)
        if isinstance(refusal, ContextTooLong):
            # This model takes less than CHAT_CONTEXT_BYTES: half of it may fit.
            self._max_bytes = min(self._max_bytes, encoded_size(messages)) // 2
            return self._max_bytes >= CONTEXT_MIN_BYTES
        if isinstance(refusal, ThoughtsWanted):
            return self._fills(THOUGHTS)
        if isinstance(refusal, SignaturesWanted):
            return self._fills(SIGNATURE)
        if any(not message["content"] for message in messages) and self._fills("content"):
            return True
        for change in _CHANGES[len(self._changes) :]:
            self._changes.append(change)
            if self.messages(turns) != messages:
                return True
        return False

    def _fills(self, name: str) -> bool:
        is_new = name not in self._filled
        self._filled.add(name)
        return is_new


# --- Changes, of which each leaves out more than those before -------------------------------------


def _without_extra(turns: Sequence[Turn]) -> list[Turn]:
    """Some servers send a field that the one behind them does not take back."""
    return [[replace(part, calls=_bare(part.calls), extra={}) for part in turn] for turn in turns]


def _bare(calls: Sequence[Json]) -> list[Json]:
    return [{**call, "extra": {}} for call in calls]


def _one_call_each(turns: Sequence[Turn]) -> list[Turn]:
    """Llama's template takes no two calls in a message, and those of all rounds are in one."""
    return [[one for part in turn for one in _one_by_one(part)] for turn in turns]


def _one_by_one(part: Part) -> list[Part]:
    alone = [replace(part, content="", calls=[call]) for call in part.calls]
    return [replace(part, calls=part.calls[:1]), *alone[1:]]


def _answered_alone(turns: Sequence[Turn]) -> list[Turn]:
    """What was refused once has no answer. The next message must not fail for it, too."""
    *before, last = turns
    return [*(turn for turn in before if any(part.role == "assistant" for part in turn)), last]


def _last_alone(turns: Sequence[Turn]) -> list[Turn]:
    return list(turns[-1:])


def _calls_as_text(turns: Sequence[Turn]) -> list[Turn]:
    """What the tools have done must not be lost with the calls: the model would do it again."""
    return [
        [*map(_told, turn), Part("user", GO_ON)] if turn[-1].calls else list(map(_told, turn))
        for turn in turns
    ]


def _told(part: Part) -> Part:
    lines = (
        f"(I called {call['tool']} with {_text(call['parameters'])}: {_text(call['result'])})"
        for call in part.calls
    )
    return replace(part, content="\n".join(filter(None, (part.content, *lines))), calls=())


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_CHANGES: tuple[Change, ...] = (
    _without_extra,
    _one_call_each,
    _answered_alone,
    _last_alone,
    _calls_as_text,
)
