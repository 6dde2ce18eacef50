"""A model's answer as servers really send it: only its text and its tool calls are needed.

What else is there may be missing, null, or of a type that the protocol does not know.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chat.conversations.json_values import check_value, clean_text
from chat.model_server.calls import named_call
from chat.model_server.text.thoughts import read_said
from chat.model_server.text.written_calls import is_quote
from chat.tools.toolbox import Call

Json = dict[str, Any]

# Without what the model thought, DeepSeek, OpenRouter and LiteLLM refuse the results of its calls,
# and without the signature of a call so does Gemini. Other servers send none, and get none.
THOUGHTS = "reasoning_content"
KEPT_OF_MESSAGE = (THOUGHTS, "reasoning_details", "thinking_blocks")
KEPT_OF_CALL = ("extra_content",)
SHOWN_CHARACTERS = 64


class Unusable(Exception):
    """The answer can't be used. The text names the field, and quotes nothing of the reply."""


class BrokenOff(Unusable):
    """The answer ends before its end."""


@dataclass(frozen=True, slots=True)
class AskedCall:
    """A tool call in an answer; `extra` is sent back with its result."""

    call: Call
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """Text, calls, or both; `extra` is sent back with the message.

    `nothing` says why there is neither, for a log.
    """

    content: str
    calls: tuple[AskedCall, ...] = ()
    extra: Json = field(default_factory=dict)
    nothing: str = "its answer is empty"

    @property
    def is_empty(self) -> bool:
        return not (self.content or self.calls)


def read_document(body: bytes) -> Json:
    """Return the JSON object of a body.

    Raises:
        Unusable: it is none.
    """
    text = body.decode("utf-8-sig", "replace").strip()
    if not text:
        raise Unusable("its answer is empty")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise Unusable("its answer is not JSON") from None
    document = unwrapped(document)
    if not isinstance(document, dict):
        raise Unusable(f"its answer is {_kind(document)}")
    return document


def unwrapped(document: Any) -> Any:
    """Return what a list of one holds, as Gemini sends its errors; anything else as it is."""
    return document[0] if isinstance(document, list) and len(document) == 1 else document


def read_completion(document: Json, told: Sequence[str] = ()) -> Answer:
    """Return the answer in a chat completion: its first text and its first calls.

    GitHub Copilot puts them into two choices, though one was asked for.

    Args:
        told: what the model was told by the user and by tools: it may quote that.

    Raises:
        Unusable: its choices can't be read.
    """
    choices = document.get("choices")
    if not isinstance(choices, list | None):
        raise Unusable(f"choices is {_kind(choices)}")
    answer = Answer("", nothing=f"choices is {'missing' if choices is None else 'empty'}")
    failure: Unusable | None = None
    for choice in choices or ():
        try:
            answer = _joined(answer, read_choice(choice, told))
        except RecursionError:
            failure = failure or Unusable("a choice is nested too deeply")
        except Unusable as error:
            failure = failure or error
    if failure and answer.is_empty:
        raise failure
    return answer


def _joined(before: Answer, more: Answer) -> Answer:
    if before.is_empty:
        return more
    calling = more if more.calls and not before.calls else before
    return replace(calling, content=before.content or more.content)


def read_choice(choice: object, told: Sequence[str] = ()) -> Answer:
    """Return the answer in a choice, which may be without text and calls.

    Raises:
        Unusable: its message can't be read.
    """
    if not isinstance(choice, dict):
        raise Unusable(f"a choice is {_kind(choice)}")
    message = choice.get("message", choice.get("delta"))
    if not isinstance(message, dict | None):
        raise Unusable(f"message is {_kind(message)}")
    ending = choice.get("finish_reason")
    ending = ending[:SHOWN_CHARACTERS] if isinstance(ending, str) else ""
    because = f" (finish_reason: {ending!a})" if ending else ""
    if message is None:
        return Answer("", nothing=f"message is missing{because}")
    calls = _calls(message)
    content = read_text(message.get("content"))
    if content is None and not calls:
        raise Unusable(f"content is {_kind(message['content'])}")
    if not content and not calls:
        content = read_text(message.get("refusal"))
    text, in_text = read_said(
        clean_text(content or ""), lambda markup: not calls and not is_quote(markup, told)
    )
    return Answer(
        text.strip(),
        calls or tuple(map(AskedCall, in_text)),
        _kept(message, KEPT_OF_MESSAGE),
        f"its answer is empty{because}",
    )


def read_text(content: object) -> str | None:
    """Return content as text: it may be a list of parts, of which some are not text."""
    if isinstance(content, list):
        return "".join(read_text(part) or "" for part in content)
    if isinstance(content, dict):
        return "" if content.get("type") in {"thinking", "reasoning"} else _text_of_part(content)
    if content is None:
        return ""
    return content if isinstance(content, str) else None


def _text_of_part(part: Json) -> str | None:
    for name in ("text", "value", "content"):
        if name in part:
            return read_text(part[name])
    return None


# --- Tool calls -----------------------------------------------------------------------------------


def _calls(message: Json) -> tuple[AskedCall, ...]:
    asked = message.get("tool_calls") or message.get("function_call") or []
    if not isinstance(asked, list):
        asked = [asked]
    found: list[AskedCall] = []
    seen: list[tuple[object, Call]] = []
    for item in asked:
        if not isinstance(item, dict):
            continue
        function = item.get("function")
        function = function if isinstance(function, dict) else item
        name = function.get("name")
        if not isinstance(name, str):
            continue
        call = named_call(name, function.get("arguments"))
        # The same call under the same id is one that the server sent twice.
        if (item.get("id"), call) not in seen:
            seen.append((item.get("id"), call))
            found.append(AskedCall(call, _kept(item, KEPT_OF_CALL)))
    return tuple(found)


def _kept(fields: Json, names: tuple[str, ...]) -> Json:
    kept = {name: fields[name] for name in names if fields.get(name) is not None}
    try:
        check_value(kept)
    except ValueError:
        return {}
    return kept


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "a boolean"}
    return "missing" if value is None else kinds.get(type(value), "a number")
