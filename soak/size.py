"""How much load a run has."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """Connectors, with two writers each, and people who chat at the same time."""

    connectors: int
    users: int
