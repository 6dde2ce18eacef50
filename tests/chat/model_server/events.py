"""Events of streams, as models' servers send them."""

import json

from tests.chat.model_server.imitation import Raw


def delta(content=None, ending=None, calls=(), **more) -> dict:
    parts = {"content": content, "tool_calls": calls or None, **more}
    return {"choices": [{"index": 0, "delta": parts, "finish_reason": ending}]}


def part(arguments, **more) -> dict:
    return {**more, "function": {"arguments": arguments, "name": more.pop("name", None)}}


def streamed(*events: dict, end: bytes = b"data: [DONE]\n\n") -> Raw:
    """A stream that nobody asked for."""
    lines = b"".join(b"data: %b\r\n\r\n" % json.dumps(event).encode() for event in events)
    return Raw(b": hello\n\n" + lines + end, headers={"Content-Type": "text/event-stream"})


STOP = delta(None, "stop")
