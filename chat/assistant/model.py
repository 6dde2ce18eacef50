"""The assistant on a model, of any server that speaks the OpenAI protocol."""

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
from chat.model_server.messages import Part, Turn, messages_within, turns_of
from chat.model_server.refusals import ContextTooLong, ServerFailed, ThoughtsWanted
from chat.tools.toolbox import MAX_CALLS, Toolbox, shown_arguments

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
    """The conversation with the model in a turn, cut to what the model takes."""

    def __init__(self, turns: list[Turn], deadline: Deadline, words: Words) -> None:
        self._turns = turns
        self._deadline = deadline
        self._words = words
        self._max_bytes: int = settings.CHAT_CONTEXT_BYTES
        self._sends_thoughts = False

    def add(self, answer: Answer, calls: Sequence[Json]) -> None:
        self._turns[-1].append(Part("assistant", answer.content, calls, answer.extra))

    def ask(self, may_call: bool) -> Steps[Answer]:
        while True:
            messages = messages_within(self._turns, self._max_bytes)
            for message in messages if self._sends_thoughts else ():
                if message["role"] == "assistant":
                    message.setdefault(THOUGHTS, " ")  # no server takes an empty one
            self._words.begin()
            try:
                asked = client.ask(messages, self._deadline, may_call, self._words)
                answer: Answer = yield until_stopped(asked, self._words)
                return answer
            except ContextTooLong as error:
                # This model takes less than CHAT_CONTEXT_BYTES: half of it may fit.
                self._max_bytes = min(self._max_bytes, encoded_size(messages)) // 2
                if self._max_bytes < CONTEXT_MIN_BYTES:
                    raise failed(error) from error
            except ThoughtsWanted as error:
                if self._sends_thoughts:
                    raise failed(error) from error
                self._sends_thoughts = True


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
        ending = f" (finish_reason: {answer.ending!a})" if answer.ending else ""
        raise failed(ServerFailed(f"its answer is empty{ending}"))
    return reply[:REPLY_MAX_CHARACTERS]
