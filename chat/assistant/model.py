"""The assistant on a model, of any server that speaks the OpenAI protocol."""

import logging
from collections.abc import Sequence
from typing import Any

from django.conf import settings

from chat.assistant.words import done_in_words, has_effect
from chat.conversations.state import MessageEntry
from chat.deadline import Deadline
from chat.errors import ModelFailed
from chat.live.waiting import Steps, until_stopped
from chat.live.words import REPLY_MAX_CHARACTERS, Words
from chat.model_server import client
from chat.model_server.answers import Answer
from chat.model_server.client import failed
from chat.model_server.forms import Form
from chat.model_server.messages import Part, Turn, turns_of
from chat.model_server.refusals import OtherWanted, ServerFailed
from chat.tools.toolbox import MAX_CALLS, Toolbox, shown_arguments

logger = logging.getLogger(__name__)

MAX_ROUNDS = 8

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
            try:
                answer = yield from dialogue.ask(may_call=not is_last)
                if answer.is_empty and not tools.done:  # of a call that the model wrote wrongly
                    answer = yield from dialogue.ask(may_call=True)
            except ModelFailed:
                # Some models call tools although they may not, which their server refuses.
                if is_last and has_effect(tools.done) and not tools.words.reply:
                    return done_in_words(tools.done)
                raise
            if not answer.calls or is_last:
                break
            dialogue.add(answer, _call_all(answer, tools))
        return _reply(answer, tools.done)


class _Dialogue:
    """The conversation with the model in a turn, in the form that its server takes."""

    def __init__(self, turns: list[Turn], deadline: Deadline, words: Words) -> None:
        self._turns = turns
        self._deadline = deadline
        self._words = words
        self._form = Form(settings.CHAT_CONTEXT_BYTES)

    def add(self, answer: Answer, calls: Sequence[Json]) -> None:
        self._turns[-1].append(Part("assistant", answer.content, calls, answer.extra))

    def ask(self, may_call: bool) -> Steps[Answer]:
        while True:
            self._words.begin()
            try:
                messages = self._form.messages(self._turns)
                asked = client.ask(messages, self._deadline, may_call, self._words)
                answer: Answer = yield until_stopped(asked, self._words)
                return answer
            except OtherWanted as error:
                if not self._form.adapt(error, self._turns):
                    raise failed(error) from error
                logger.info("asking the model in another form after %s", error)


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
