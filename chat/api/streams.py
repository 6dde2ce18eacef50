"""A turn as server-sent events: accepted, tool_call, delta, and done or error.

The turn is answered by other threads (chat.following). A stream follows it, and holds none of it:
it may be slow, or end at any time. Where it has to wait, it says so: in a thread it waits there,
on a server's loop nothing waits. https://html.spec.whatwg.org/#server-sent-events
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from chat.api.answers import turn_as_json
from chat.live.remote import RemoteWords
from chat.live.words import Words
from common.deferred import LoopStreamResponse, Run
from common.json_answers import json_bytes

EVENT_STREAM = "text/event-stream"
# Always UTF-8 by the standard, but some clients take text without a charset for ISO-8859-1.
CONTENT_TYPE = f"{EVENT_STREAM}; charset=utf-8"
# No ends of lines by the standard, but splitlines() of clients in Python takes them for such.
_LINE_ENDS = {char.encode(): rb"\u%04x" % ord(char) for char in "\u0085\u2028\u2029"}
HEARTBEAT_SECONDS = 10.0
LOOK_SECONDS = 1.0  # after which a client that has left is noticed

Followed = Words | RemoteWords
AsError = Callable[[BaseException], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Wait:
    """For another version than this one."""

    version: int


class EventStream:
    """The events of a turn, encoded, to the turn's end.

    Args:
        followed: the words of the turn.
        as_error: makes status, code and detail of an exception.
        on_close: called once, when no more events are wanted.
    """

    def __init__(
        self,
        followed: Followed,
        as_error: AsError,
        on_close: Callable[[], None],
    ) -> None:
        self._followed = followed
        self._events = _heartbeats(_events(followed, as_error))
        self._on_close = on_close
        self._is_open = True

    def __iter__(self) -> Iterator[bytes]:
        for event in self._events:
            if isinstance(event, bytes):
                yield event
            else:
                self._followed.wait(event.version, LOOK_SECONDS)

    async def on_loop(self, run: Run) -> AsyncIterator[bytes]:
        """Yield the same events on a loop; `run` runs a function in a thread."""
        for event in self._events:
            if isinstance(event, bytes):
                yield event
            else:
                await self._followed.wait_on_loop(event.version, LOOK_SECONDS, run)

    def close(self) -> None:
        """Stop following; the turn goes on."""
        if self._is_open:
            self._is_open = False
            self._on_close()


def event_response(stream: EventStream) -> LoopStreamResponse:
    """Return the stream as a response that no proxy keeps back."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return LoopStreamResponse(stream, CONTENT_TYPE, headers)


def _heartbeats(events: Iterator[bytes | _Wait]) -> Iterator[bytes | _Wait]:
    """Put a comment wherever nothing was sent for a while: proxies cut connections that idle."""
    sent_at = time.monotonic()
    for event in events:
        if isinstance(event, _Wait):
            yield event
        elif event:
            sent_at = time.monotonic()
            yield event
        elif time.monotonic() - sent_at >= HEARTBEAT_SECONDS:
            sent_at = time.monotonic()
            yield b": still here\n\n"
        else:
            yield b""


def _events(followed: Followed, as_error: AsError) -> Iterator[bytes | _Wait]:
    """Yield events as they come, and nothing (b"") where there is none for a second."""
    turn = turn_as_json(followed.turn)
    conversation_id = turn["conversation_id"]
    yield _event("accepted", conversation_id=conversation_id, turn_id=followed.turn.id)
    calls, shown, text = 0, 0, ""
    said = followed.said
    while True:
        # In this order: what is over by then has said all that it will.
        version, is_over = followed.version, followed.is_over
        for call in followed.turn.tool_calls[calls:]:
            yield _event("tool_call", **call)
            calls, text = calls + 1, ""
        if followed.said is not said:
            said, shown = followed.said, 0
        if said.calls == calls and (fresh := said.pieces[shown:]):
            shown += len(fresh)
            text += "".join(fresh)
            yield b"".join(_event("delta", text=piece) for piece in fresh)
        if is_over:
            break
        yield _Wait(version)
        if followed.version == version:
            yield b""
    if followed.failure is not None:
        yield _event("error", **as_error(followed.failure))
        return
    answer = turn_as_json(followed.turn)
    # What was not streamed: a question below the model's words, or the whole reply.
    if rest := _rest(answer["reply"], text):
        yield _event("delta", text=rest)
    yield _event("done", **answer, degraded=followed.turn.degraded)


def _rest(reply: str, text: str) -> str:
    # What was said ends with white space where the reply ends, or where the rest was held back.
    for shown in (text, text.rstrip()):
        if reply.startswith(shown):
            return reply[len(shown) :]
    return ""


def _event(name: str, **data: Any) -> bytes:
    content = json_bytes(data)
    for char, escaped in _LINE_ENDS.items():
        content = content.replace(char, escaped)
    return b"event: %b\ndata: %b\n\n" % (name.encode(), content)
