"""Server-sent events as models' servers write them.

https://html.spec.whatwg.org/#server-sent-events, and what servers make of it: some leave out the
blank line after an event.
"""

import json
from codecs import BOM_UTF8
from typing import NamedTuple

DONE = b"[DONE]"


class Event(NamedTuple):
    """An event that has data; `name` is empty where it was not given one."""

    name: bytes
    data: bytes


class Parser:
    """Takes in the bytes of a stream, cut anywhere, and gives out its events."""

    def __init__(self) -> None:
        self._line: list[bytes] = []  # the parts of one that has not ended
        self._ended_with_cr = False
        self._is_first = True
        self._name = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events that the chunk ends."""
        if self._ended_with_cr:
            chunk = chunk.removeprefix(b"\n")  # of the same end of a line
        self._ended_with_cr = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = chunk.split(b"\n")
        if lines:
            # Only now: a line may come in any number of chunks.
            lines[0] = b"".join((*self._line, lines[0]))
            self._line = []
        self._line.append(rest)
        return self._read(lines)

    def close(self) -> list[Event]:
        """Return the event in which the stream ended, if there was one; it may be cut off."""
        return self._read([b"".join(self._line), b""])

    def _read(self, lines: list[bytes]) -> list[Event]:
        if self._is_first and lines:
            lines[0], self._is_first = lines[0].removeprefix(BOM_UTF8), False
        events: list[Event] = []
        for line in lines:
            if line.startswith(b"data:"):
                if data := line[len(b"data:") :].strip():
                    self._add(data, events)
            elif not line:
                self._dispatch(events)
            elif line.startswith(b"event:"):
                self._name = line[len(b"event:") :].strip()
        return events

    def _add(self, data: bytes, events: list[Event]) -> None:
        if len(self._data) == 1 and is_json(self._data[0]):
            self._dispatch(events)
        self._data.append(data)
        if data == DONE:
            self._dispatch(events)

    def _dispatch(self, events: list[Event]) -> None:
        if self._data:
            events.append(Event(self._name, b"\n".join(self._data)))
            self._data = []
        self._name = b""


def is_json(data: bytes | bytearray | str) -> bool:
    """Whether it is JSON, and whole; characters may be broken, and line breaks as they are."""
    text = data if isinstance(data, str) else data.decode("utf-8-sig", "replace")
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return False
    return True
