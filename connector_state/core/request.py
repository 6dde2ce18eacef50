"""What a state call reads of its request, whichever server and framework it came through."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StateRequest:
    """A verified request for state.

    `query` is as it was sent, as latin-1 text without "?"; the headers are None where they are
    missing.
    """

    query: str = ""
    if_match: str | None = None
    if_none_match: str | None = None
    body: bytes = b""
