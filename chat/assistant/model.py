"""The assistant on a model, of any server that speaks the OpenAI protocol.

Each stored message is sent with its own role, so no text of a user can pass as another role's. The
client library's retries are off, because it does not know the deadline; _ask retries once.
"""

import json
import logging
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from django.conf import settings

from chat.assistant import hearing
from chat.assistant.instructions import INSTRUCTIONS, tool_definitions
from chat.conversations.json_values import clean_text
from chat.conversations.state import MessageEntry
from chat.deadline import Deadline
from chat.errors import ModelFailed, ModelTimeout
from chat.live.words import REPLY_MAX_CHARACTERS, Words
from chat.tools.toolbox import Call, Toolbox
from common import strict_json

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletionMessage

logger = logging.getLogger(__name__)

MAX_ROUNDS = 8
MAX_CALLS_PER_ROUND = 16
RETRY_PAUSE_SECONDS = 0.5
RETRY_PAUSE_MAX_SECONDS = 5.0
RETRIED_STATUS = frozenset({429, 500, 502, 503, 504})

Json = dict[str, Any]


class ModelAssistant:
    """Asks CHAT_MODEL at OPENAI_BASE_URL for replies, and carries out the tool calls in them."""

    def answer(
        self,
        window: Sequence[MessageEntry],
        message: str,
        tools: Toolbox,
        deadline: Deadline,
    ) -> str:
        """Return the model's reply, after up to MAX_ROUNDS rounds of tool calls.

        Raises:
            ModelTimeout: the model did not answer before the deadline.
            ModelFailed: the model answered with an error, or with something unusable.
        """
        conversation = [
            {"role": "system", "content": INSTRUCTIONS},
            *(
                part
                for index, entry in enumerate(window)
                for part in _as_messages(entry, str(index))
            ),
            {"role": "user", "content": message},
            # A turn that is taken up again: the model sees the calls that are done already.
            *_calls_and_results(tools.done, "done"),
        ]
        for round_number in range(1, MAX_ROUNDS + 1):
            tools.words.begin()
            may_call = round_number < MAX_ROUNDS
            answer = _ask(conversation, deadline, may_call, tools.words)
            calls = _asked_calls(answer)
            if not calls or round_number == MAX_ROUNDS:
                return _reply(answer)
            results = tools.call_all([call for _, call in calls])
            asked = [(call_id, call.tool, call.arguments) for call_id, call in calls]
            conversation += _call_messages(answer.content, asked, results)
        raise AssertionError("the last round returns")


# --- The messages to the model ------------------------------------------------------------------


def _as_messages(entry: MessageEntry, prefix: str) -> list[Json]:
    """Return a stored message as messages of the protocol: tool calls, results, then the text."""
    calls = [call.model_dump() for call in entry.tool_calls or ()]
    parts = _calls_and_results(calls, prefix) if entry.role == "assistant" else []
    if entry.content or not parts:
        parts.append({"role": entry.role, "content": entry.content})
    return parts


def _calls_and_results(calls: Sequence[Json], prefix: str) -> list[Json]:
    if not calls:
        return []
    asked = [
        (f"call_{prefix}_{index}", call["tool"], call["parameters"])
        for index, call in enumerate(calls)
    ]
    return _call_messages(None, asked, [call["result"] for call in calls])


def _call_messages(
    content: str | None, calls: Sequence[tuple[str, str, object]], results: Sequence[object]
) -> list[Json]:
    """Return the message that calls tools (each with id, name, arguments), and their results."""
    asked: Json = {"role": "assistant", "content": content, "tool_calls": []}
    answered: list[Json] = []
    for (call_id, name, arguments), result in zip(calls, results, strict=True):
        function = {"name": name, "arguments": json.dumps(arguments)}
        asked["tool_calls"].append({"id": call_id, "type": "function", "function": function})
        answered.append({"role": "tool", "tool_call_id": call_id, "content": json.dumps(result)})
    return [asked, *answered]


# --- The answer of the model ---------------------------------------------------------------------


def _asked_calls(answer: "ChatCompletionMessage") -> list[tuple[str, Call]]:
    asked = [call for call in answer.tool_calls or () if call.type == "function"]
    if len(asked) > MAX_CALLS_PER_ROUND:
        _fail(f"it called {len(asked)} tools at once")
    return [
        (call.id, Call(clean_text(call.function.name), _arguments(call.function.arguments)))
        for call in asked
    ]


def _arguments(text: str) -> object:
    """Return the arguments, parsed; text that is not JSON as it is, for the toolbox to refuse."""
    try:
        parsed: object = strict_json.loads(text or "{}")
        json.dumps(parsed, ensure_ascii=False).encode()  # half a surrogate pair can't be stored
    except (ValueError, RecursionError):
        return clean_text(text)
    return parsed


def _reply(answer: "ChatCompletionMessage") -> str:
    reply = clean_text(answer.content or "").strip()
    if not reply:
        _fail("its answer is empty")
    return reply[:REPLY_MAX_CHARACTERS]


def _fail(reason: str, cause: Exception | None = None) -> NoReturn:
    logger.warning("the model failed: %s", reason)
    raise ModelFailed() from cause


# --- The call to the server ----------------------------------------------------------------------


def _ask(
    conversation: list[Json], deadline: Deadline, may_call: bool, words: Words
) -> "ChatCompletionMessage":
    """Ask the model; ask once more after an error that may be temporary, if there is time.

    Not after words were shown: a second answer would not go on where the first one broke off.
    """
    import httpx2
    import openai

    for last in (False, True):
        if deadline.passed:
            raise ModelTimeout()
        try:
            return _request(conversation, deadline, may_call, words)
        except (openai.APITimeoutError, httpx2.TimeoutException) as error:
            logger.warning("the model did not answer in time")
            raise ModelTimeout() from error
        except openai.APIStatusError as error:
            reason = f"HTTP {error.status_code}"
            pause = _retry_pause(error.response.headers.get("Retry-After"))
            if last or error.status_code not in RETRIED_STATUS:
                _fail(reason, error)
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            reason, pause = type(error.__cause__ or error).__name__, RETRY_PAUSE_SECONDS
            if last or words.reply:
                _fail(reason, error)
        except (openai.OpenAIError, ValueError) as error:
            # Only the name: the text of an error may hold the reply, or the key that was sent.
            _fail(type(error).__name__, error)
        if pause > min(RETRY_PAUSE_MAX_SECONDS, deadline.remaining_seconds / 2):
            _fail(reason)
        logger.info("asking the model again after %s", reason)
        words.pause(pause)
    raise AssertionError("the last try returns or raises")


def _retry_pause(header: str | None) -> float:
    """Return the seconds to wait for a Retry-After; infinity if it is not a number, as a date."""
    try:
        seconds = float(header or 0)
    except ValueError:
        return math.inf
    return max(seconds, RETRY_PAUSE_SECONDS) if math.isfinite(seconds) else math.inf


def _request(
    conversation: list[Json], deadline: Deadline, may_call: bool, words: Words
) -> "ChatCompletionMessage":
    from openai.types.chat import ChatCompletion

    arguments: Json = {
        "model": settings.CHAT_MODEL,
        "messages": conversation,
        "tools": tool_definitions(),
        "tool_choice": "auto" if may_call else "none",
        "timeout": max(deadline.remaining_seconds, 0.01),
    }
    client = _client(settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL)
    body = hearing.completion(client, arguments, words, deadline)
    completion = ChatCompletion.model_validate_json(body)
    if not completion.choices:
        _fail("its answer has no choices")
    return completion.choices[0].message


@lru_cache(maxsize=4)
def _client(api_key: str, base_url: str) -> "OpenAI":
    """Return a client, one for each configuration, because it keeps its connections open."""
    from openai import OpenAI  # importing it takes a second

    return OpenAI(api_key=api_key or "none", base_url=base_url or None, max_retries=0)
