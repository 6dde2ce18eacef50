"""Server-sent events as models' servers write them.

https://html.spec.whatwg.org/#server-sent-events, and what servers make of it: some leave out the
blank line after an event.
"""

import json
from typing import NamedTuple

DONE = b"[DONE]"

_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """An event that has data; `name` is empty where it was not given one."""

    name: bytes
    data: bytes


class Parser:
    """Takes in the bytes of a stream, cut anywhere, and gives out its events."""

    def __init__(self) -> None:
        self._line = bytearray()
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
        # Only what is new is searched and copied: an event may come in any number of chunks.
        end, *others = chunk.split(b"\n")
        self._line += end
        events: list[Event] = []
        for other in others:
            self._end_line(events)
            self._line = bytearray(other)
        return events

    def close(self) -> list[Event]:
        """Return the event in which the stream ended, if there was one."""
        events: list[Event] = []
        self._end_line(events)
        self._dispatch(events)
        return events

    def _end_line(self, events: list[Event]) -> None:
        line = bytes(self._line)
        if self._is_first:
            line, self._is_first = line.removeprefix(_BOM), False
        if not line:
            self._dispatch(events)
        elif line.startswith(b"data:"):
            if data := line[len(b"data:") :].strip():
                self._add(data, events)
        elif line.startswith(b"event:"):
            self._name = line[len(b"event:") :].strip()

    def _add(self, data: bytes, events: list[Event]) -> None:
        if len(self._data) == 1 and is_json(self._data[0]):
            self._dispatch(events)
        self._data.append(data)
        if data == DONE:
            self._dispatch(events)

    def _dispatch(self, events: list[Event]) -> None:
        if self._data:
            events.append(Event(self._name, b"\n".join(self._data)))
        self._name, self._data = b"", []


def is_json(data: bytes | bytearray | str) -> bool:
    """Whether it is JSON, and whole."""
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True
