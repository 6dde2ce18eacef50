"""The result of examining a store or a server, in words for operators."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """A store or server that answers: a description, and what is wrong with it all the same.

    `dangers` sooner or later lose what is stored there, or refuse writes now; `problems` are less
    than that.
    """

    description: str
    dangers: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def state(self) -> Literal["ok", "warning", "unsafe"]:
        """The worst that the finding says."""
        if self.dangers:
            return "unsafe"
        return "warning" if self.problems else "ok"


class Unfit(Exception):
    """A store or server answers, but can't be used as it is; the text says why."""
