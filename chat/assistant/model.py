"""The assistant on a model, of any server that speaks the OpenAI protocol."""

import logging
from collections.abc import Sequence
from typing import Any

from django.conf import settings

from chat.assistant.words import done_in_words, has_effect
from chat.conversations.json_values import encoded_size
from chat.conversations.state import MessageEntry
from chat.deadline import Deadline
from chat.live.waiting import Steps, until_stopped
from chat.live.words import REPLY_MAX_CHARACTERS, Words
from chat.model_server import client
from chat.model_server.answers import THOUGHTS, Answer
from chat.model_server.client import failed
from chat.model_server.messages import (
    SIGNATURE,
    Part,
    Turn,
    fill_in,
    messages_within,
    turns_of,
)
from chat.model_server.refusals import (
    ContextTooLong,
    OtherWanted,
    ServerFailed,
    SignaturesWanted,
    ThoughtsWanted,
)
from chat.tools.toolbox import MAX_CALLS, Toolbox, shown_arguments

logger = logging.getLogger(__name__)

MAX_ROUNDS = 8
CONTEXT_MIN_BYTES = 4_096

Json = dict[str, Any]


class ModelAssistant:
    """Asks CHAT_MODEL at OPENAI_BASE_URL for replies, and carries out the tool calls in them."""

    def answer(
        self,
        window: Sequence[MessageEntry],
        message: str,
        tools: Toolbox,
        deadline: Deadline,
    ) -> Steps[str]:
        """Return the model's reply, after up to MAX_ROUNDS rounds of tool calls.

        Raises:
            ModelTimeout: the model did not answer before the deadline.
            ModelFailed: the model answered with an error, or with something unusable.
        """
        # A turn that is taken up again: the model sees the calls that are done already.
        dialogue = _Dialogue(turns_of(window, message, tools.done), deadline, tools.words)
        for round_number in range(1, MAX_ROUNDS + 1):
            is_last = round_number == MAX_ROUNDS
            answer = yield from dialogue.ask(may_call=not is_last)
            if not answer.calls or is_last:
                break
            dialogue.add(answer, _call_all(answer, tools))
        return _reply(answer, tools.done)


class _Dialogue:
    """The conversation with the model in a turn, in the form and of the size that its server takes.

    What a server refuses stays in a conversation, which would be dead for ever: so in the end the
    model is asked without what was said before.
    """

    def __init__(self, turns: list[Turn], deadline: Deadline, words: Words) -> None:
        self._turns = turns
        self._deadline = deadline
        self._words = words
        self._max_bytes: int = settings.CHAT_CONTEXT_BYTES
        self._filled: set[str] = set()

    def add(self, answer: Answer, calls: Sequence[Json]) -> None:
        self._turns[-1].append(Part("assistant", answer.content, calls, answer.extra))

    def ask(self, may_call: bool) -> Steps[Answer]:
        while True:
            messages = messages_within(self._turns, self._max_bytes)
            for message in messages:
                fill_in(message, self._filled)
            self._words.begin()
            try:
                asked = client.ask(messages, self._deadline, may_call, self._words)
                answer: Answer = yield until_stopped(asked, self._words)
                return answer
            except OtherWanted as error:
                if not self._adapts(error, messages):
                    raise failed(error) from error
                logger.info("asking the model in another form after %s", error)

    def _adapts(self, refusal: OtherWanted, messages: list[Json]) -> bool:
        """Choose another form, one after the other; return whether there is one."""
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
        *before, last = self._turns
        # What was refused once has no answer. The next message must not fail for it, too.
        answered = [turn for turn in before if any(part.role == "assistant" for part in turn)]
        self._turns = [*(answered if len(answered) < len(before) else []), last]
        return bool(before)

    def _fills(self, name: str) -> bool:
        is_new = name not in self._filled
        self._filled.add(name)
        return is_new


def _call_all(answer: Answer, tools: Toolbox) -> list[Json]:
    """Carry out the calls of an answer; return them with their results."""
    calls = answer.calls[: MAX_CALLS + 1]  # the result of the last says that it was too much
    results = tools.call_all([asked.call for asked in calls])
    return [
        {
            "tool": asked.call.tool,
            "parameters": shown_arguments(asked.call),
            "result": result,
            "extra": asked.extra,
        }
        for asked, result in zip(calls, results, strict=True)
    ]


def _reply(answer: Answer, done: Sequence[Json]) -> str:
    reply = answer.content
    # A failure would make the user repeat what is done already.
    if not reply and (has_effect(done) or not answer.calls):
        reply = done_in_words(done)
    if not reply:
        raise failed(ServerFailed(answer.nothing))
    return reply[:REPLY_MAX_CHARACTERS]
