"""The messages of a request to a model's server, in the form that the strictest servers take.

Seen of real servers: Mistral wants ids of nine letters and digits, and no user after a tool's
result; chat templates want user and assistant to alternate; others want content that is text, and
arguments that are an object.
"""

import itertools
import json
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from chat.conversations.json_values import cap_object, encoded_size
from chat.conversations.state import MessageEntry
from chat.model_server.answers import THOUGHTS
from chat.model_server.instructions import INSTRUCTIONS

Json = dict[str, Any]

NO_ANSWER = "(There was no answer to this message.)"
EARLIER = "(The conversation before this is left out.)"
BLANK = "(This message was blank.)"
CALLS = "(Tools are called.)"
SIGNATURE = "thought_signature"
# https://ai.google.dev/gemini-api/docs/thought-signatures: for calls that another model has made
UNSIGNED = "skip_thought_signature_validator"
SHORTENED_BYTES = 1_024  # of an old tool result, once the budget is spent
RESULT_MIN_BYTES = 256

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_NAME_MAX_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class Part:
    """What one side said: text, and in the assistant's case the tools that it called beside it.

    `calls` are `{tool, parameters, result}` as in the contract, and may have an `extra`: fields
    that the server wants back with the call. `extra` are those that it wants back with the message.
    """

    role: Literal["user", "assistant"]
    content: str
    calls: Sequence[Json] = ()
    extra: Json = field(default_factory=dict)


Turn = list[Part]


def turns_of(window: Iterable[MessageEntry], message: str, done: Sequence[Json]) -> list[Turn]:
    """Return a conversation as turns, oldest first; each but the first begins with the user.

    Args:
        window: the stored messages.
        message: the user's new one, which begins the last turn.
        done: the tool calls of that turn so far, which another request may have made.
    """
    turns: list[Turn] = []
    for entry in window:
        if entry.role == "user" or not turns:
            turns.append([])
        turns[-1] += _parts(entry)
    return [*turns, [Part("user", message), *_calling(done)]]


def _parts(entry: MessageEntry) -> Turn:
    if entry.role == "user":
        return [Part("user", entry.content)]
    calls = [call.model_dump() for call in entry.tool_calls or ()]
    return [*_calling(calls), *([Part("assistant", entry.content)] if entry.content else [])]


def _calling(calls: Sequence[Json]) -> Turn:
    return [Part("assistant", "", calls)] if calls else []


# --- The budget -----------------------------------------------------------------------------------


def messages_within(turns: Sequence[Turn], max_bytes: int) -> list[Json]:
    """Return turns as request_messages does, cut to a size if they exceed it.

    Args:
        max_bytes: of the messages as JSON in UTF-8.
    """
    messages = request_messages(turns)
    excess = encoded_size(messages) - max_bytes
    return request_messages(_cut(turns, excess)) if excess > 0 else messages


def _cut(turns: Sequence[Turn], excess: int) -> list[Turn]:
    """Return the turns without so many bytes, if that is possible.

    Old tool results are shortened first, those of the newest calls never before others; then the
    oldest turns go, whole. The last turn stays, with its newest results shortened if need be.
    """
    kept = [list(turn) for turn in turns]
    newest = kept[-1][-1]
    for turn in kept:
        for place, part in enumerate(turn):
            if excess > 0 and part.calls and part is not newest:
                turn[place] = _shortened(part, SHORTENED_BYTES)
                excess -= _size(part) - _size(turn[place])
    while excess > 0 and len(kept) > 1:
        excess -= sum(map(_size, kept.pop(0)))
    if excess > 0 and newest.calls:
        results = sum(encoded_size(call["result"]) for call in newest.calls)
        each = (results - excess) // len(newest.calls)
        kept[-1][-1] = _shortened(newest, max(RESULT_MIN_BYTES, each))
    return kept


def _size(part: Part) -> int:
    return sum(map(encoded_size, _rendered(part, itertools.count())))


def _shortened(part: Part, max_bytes: int) -> Part:
    calls = [{**call, "result": cap_object(call["result"], max_bytes)} for call in part.calls]
    return replace(part, calls=calls)


# --- The protocol ---------------------------------------------------------------------------------


def request_messages(turns: Iterable[Turn]) -> list[Json]:
    """Return turns as the `messages` of the protocol, after the system message.

    Where a side said nothing, a word of ours stands in for it, so that roles alternate. Text of a
    user never changes its role.
    """
    messages: list[Json] = [{"role": "system", "content": INSTRUCTIONS}]
    numbers = itertools.count()
    for part in itertools.chain.from_iterable(turns):
        last = messages[-1]["role"]
        if part.role == "user" and last in {"user", "tool"}:
            messages.append({"role": "assistant", "content": NO_ANSWER})
        elif part.role == "assistant" and last == "system":
            messages.append({"role": "user", "content": EARLIER})
        rendered = _rendered(part, numbers)
        if part.role == last == "assistant":  # of another writer, or a text before calls
            texts = (messages.pop()["content"], part.content)
            rendered[0]["content"] = "\n\n".join(filter(None, texts))
        messages += rendered
    return messages


def _rendered(part: Part, numbers: Iterator[int]) -> list[Json]:
    message: Json = {"role": part.role, "content": part.content, **part.extra}
    if part.role == "user":
        message["content"] = part.content or BLANK
    if not part.calls:
        return [message]
    message["tool_calls"] = []
    results: list[Json] = []
    for call in part.calls:
        # Ours, not the server's: those may be missing, the same twice, or in another server's form.
        call_id = f"call{next(numbers):05d}"
        function = {
            "name": _NOT_IN_NAMES.sub("_", call["tool"])[:_NAME_MAX_CHARACTERS] or "unknown",
            "arguments": json.dumps(call["parameters"], ensure_ascii=False),
        }
        message["tool_calls"].append(
            {"id": call_id, "type": "function", "function": function, **call.get("extra", {})}
        )
        content = json.dumps(call["result"], ensure_ascii=False)
        results.append({"role": "tool", "tool_call_id": call_id, "content": content})
    return [message, *results]


def fill_in(message: Json, names: Container[str]) -> None:
    """Put something into these fields of an assistant's message, where the server wants them.

    None takes an empty text there.
    """
    if message["role"] != "assistant":
        return
    if THOUGHTS in names:
        message.setdefault(THOUGHTS, " ")
    if "content" in names:
        message["content"] = message["content"] or CALLS
    if SIGNATURE in names:
        for call in message.get("tool_calls", ()):
            call.setdefault("extra_content", {"google": {SIGNATURE: UNSIGNED}})
