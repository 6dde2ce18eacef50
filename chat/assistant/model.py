"""The model-backed assistant: any server that speaks the OpenAI protocol.

Messages are structured as they were: what a user wrote stays a user's message, whatever stands in
it. The client's own retries are off: the one that is worth it is made here, under the deadline.
"""

import json
import logging
import math
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from django.conf import settings

from chat.assistant.instructions import INSTRUCTIONS, tool_definitions
from chat.conversations.json_values import clean_text
from chat.conversations.state import MessageEntry
from chat.deadline import Deadline
from chat.errors import ModelFailed, ModelTimeout
from chat.tools.toolbox import Call, Toolbox
from common import strict_json

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletionMessage

logger = logging.getLogger(__name__)

MAX_ROUNDS = 8
MAX_CALLS_PER_ROUND = 16
REPLY_MAX_CHARACTERS = 20_000
ANSWER_MAX_BYTES = 1_048_576
RETRY_PAUSE_SECONDS = 0.5
RETRY_PAUSE_MAX_SECONDS = 5.0
RETRIED_STATUS = frozenset({429, 500, 502, 503, 504})

Json = dict[str, Any]


class ModelAssistant:
    """Asks the model CHAT_MODEL at OPENAI_BASE_URL, and carries out the tools that it calls."""

    def answer(
        self,
        window: Sequence[MessageEntry],
        message: str,
        tools: Toolbox,
        deadline: Deadline,
    ) -> str:
        """Return the model's reply, after as many rounds of tools as it asks for (MAX_ROUNDS).

        Raises:
            ModelTimeout: no answer before the deadline.
            ModelFailed: an error, or an answer that can't be used.
        """
        conversation = [
            {"role": "system", "content": INSTRUCTIONS},
            *(
                part
                for index, entry in enumerate(window)
                for part in _as_messages(entry, str(index))
            ),
            {"role": "user", "content": message},
            *_calls_and_results(tools.done, "done"),
        ]
        for round_number in range(1, MAX_ROUNDS + 1):
            answer = _ask(conversation, deadline, may_call=round_number < MAX_ROUNDS)
            calls = _asked_calls(answer)
            if not calls or round_number == MAX_ROUNDS:
                return _reply(answer)
            results = tools.call_all([call for _, call in calls])
            conversation.append(_as_asked(answer, calls))
            conversation += [
                {"role": "tool", "tool_call_id": call_id, "content": json.dumps(result)}
                for (call_id, _), result in zip(calls, results, strict=True)
            ]
        raise AssertionError("the last round returns")


# --- What the model is sent ---------------------------------------------------------------------


def _as_messages(entry: MessageEntry, prefix: str) -> list[Json]:
    """A stored message as the protocol has it: calls and results first, then what was said."""
    calls = [call.model_dump() for call in entry.tool_calls or ()]
    parts = _calls_and_results(calls, prefix) if entry.role == "assistant" else []
    if entry.content or not parts:
        parts.append({"role": entry.role, "content": entry.content})
    return parts


def _calls_and_results(calls: Sequence[Json], prefix: str) -> list[Json]:
    if not calls:
        return []
    named = [(f"call_{prefix}_{index}", call) for index, call in enumerate(calls)]
    asked = {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            _as_call(call_id, call["tool"], json.dumps(call["parameters"]))
            for call_id, call in named
        ],
    }
    results = [
        {"role": "tool", "tool_call_id": call_id, "content": json.dumps(call["result"])}
        for call_id, call in named
    ]
    return [asked, *results]


def _as_call(call_id: str, name: str, arguments: str) -> Json:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def _as_asked(answer: "ChatCompletionMessage", calls: list[tuple[str, Call]]) -> Json:
    return {
        "role": "assistant",
        "content": answer.content,
        "tool_calls": [
            _as_call(call_id, call.tool, json.dumps(call.arguments)) for call_id, call in calls
        ],
    }


# --- What the model answers ----------------------------------------------------------------------


def _asked_calls(answer: "ChatCompletionMessage") -> list[tuple[str, Call]]:
    asked = [call for call in answer.tool_calls or () if call.type == "function"]
    if len(asked) > MAX_CALLS_PER_ROUND:
        _fail(f"it called {len(asked)} tools at once")
    return [
        (call.id, Call(clean_text(call.function.name), _arguments(call.function.arguments)))
        for call in asked
    ]


def _arguments(text: str) -> object:
    """What the arguments say; the text itself when it is no JSON (the tool layer refuses it)."""
    try:
        parsed: object = strict_json.loads(text or "{}")
        json.dumps(parsed, ensure_ascii=False).encode()
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


# --- The call ------------------------------------------------------------------------------------


def _ask(conversation: list[Json], deadline: Deadline, may_call: bool) -> "ChatCompletionMessage":
    """Ask once, and once more after an error that may pass, if there is time."""
    import httpx2
    import openai

    for last in (False, True):
        if deadline.passed:
            raise ModelTimeout()
        try:
            return _request(conversation, deadline, may_call)
        except (openai.APITimeoutError, httpx2.TimeoutException) as error:
            logger.warning("the model did not answer in time")
            raise ModelTimeout() from error
        except openai.APIStatusError as error:
            reason = f"HTTP {error.status_code}"
            pause = _retry_pause(error.response.headers.get("Retry-After"))
            if last or error.status_code not in RETRIED_STATUS:
                _fail(reason, error)
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            reason, pause = _name(error.__cause__ or error), RETRY_PAUSE_SECONDS
            if last:
                _fail(reason, error)
        except (openai.OpenAIError, ValueError) as error:
            _fail(_name(error), error)
        if pause > min(RETRY_PAUSE_MAX_SECONDS, deadline.remaining_seconds / 2):
            _fail(reason)
        logger.info("asking the model again after %s", reason)
        time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _name(error: BaseException) -> str:
    """The error for the log. Its text may hold the reply, or the key that was sent."""
    return type(error).__name__


def _retry_pause(header: str | None) -> float:
    """The seconds to wait before asking again; what is no number, as a date, counts as too long."""
    try:
        seconds = float(header or 0)
    except ValueError:
        return math.inf
    return max(seconds, RETRY_PAUSE_SECONDS) if math.isfinite(seconds) else math.inf


def _request(
    conversation: list[Json], deadline: Deadline, may_call: bool
) -> "ChatCompletionMessage":
    from openai.types.chat import ChatCompletion

    arguments: Json = {
        "model": settings.CHAT_MODEL,
        "messages": conversation,
        "tools": tool_definitions(),
        "tool_choice": "auto" if may_call else "none",
        "timeout": max(deadline.remaining_seconds, 0.01),
    }
    body = bytearray()
    client = _client(settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL)
    with client.chat.completions.with_streaming_response.create(**arguments) as response:
        # The client's timeout is one of silence: an answer that drips is watched here.
        for chunk in response.iter_bytes():
            body += chunk
            if deadline.passed:
                raise ModelTimeout()
            if len(body) > ANSWER_MAX_BYTES:
                _fail(f"its answer has more than {ANSWER_MAX_BYTES} bytes")
    completion = ChatCompletion.model_validate_json(bytes(body))
    if not completion.choices:
        _fail("its answer has no choices")
    return completion.choices[0].message


@lru_cache(maxsize=4)
def _client(api_key: str, base_url: str) -> "OpenAI":
    """One client per configuration: it keeps connections. Importing it takes a second."""
    from openai import OpenAI

    return OpenAI(api_key=api_key or "none", base_url=base_url or None, max_retries=0)
