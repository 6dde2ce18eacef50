"""What a message asks for."""

from dataclasses import dataclass
from typing import Literal

Verb = Literal["add", "list", "complete", "update", "delete", "reopen", "help", "decline", "thanks"]


@dataclass(frozen=True, slots=True)
class Command:
    """What a message asks for.

    `target` is the task or the tasks as the user put it; `title` and `description` the new texts;
    `filter` what to list. `others` are what the same words may mean besides.
    """

    verb: Verb
    target: str = ""
    title: str = ""
    description: str | None = None
    filter: str = "all"
    others: tuple["Command", ...] = ()
