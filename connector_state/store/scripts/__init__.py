"""The Lua scripts that Redis runs, one for each call, and what runs them: connections, retries."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FULL_ALLOWED = "#!lua flags=allow-oom"  # from Redis 7 on


@dataclass(frozen=True)
class Source:
    """A Lua script as Redis takes it, which knows it by its digest."""

    text: str

    @cached_property
    def sha(self) -> str:
        """SHA-1, hexadecimal."""
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class Script:
    """Files of scripts/, joined to one text.

    Redis refuses the `usual` one when it has no memory left, and carries out `when_full`: the same
    text, with the flag that says so.
    """

    folder = Path(__file__).parent

    def __init__(self, *files: str) -> None:
        self.uses_index = "index" in files
        self.usual = Source("\n".join((self.folder / f"{file}.lua").read_text() for file in files))
        self.when_full = Source(f"{FULL_ALLOWED}\n{self.usual.text}")
