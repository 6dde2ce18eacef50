"""What was acknowledged, by this program's own log: the truth that the stores are held against."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

PROBED_SECONDS = 45  # a request is out of its window a minute after it was signed
REPLICATION_SLACK_SECONDS = 3.0  # min-replicas-max-lag, and the second in which it is looked at


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A value that was acknowledged (None: a deletion), and when, by the monotonic clock."""

    value: str | None
    at: float


@dataclass(slots=True)
class Chain:
    """The values of one address, each written over the one before; one writer alone has it."""

    uuid: str
    namespace: str
    key: str
    values: list[Acknowledged] = field(default_factory=lambda: [Acknowledged(None, 0.0)])
    rolled_back: bool = False
    # Its creation was sent twice: a copy that is still on its way would undo a deletion.
    may_come_back: bool = False

    @property
    def member(self) -> str:
        return f"{self.namespace}:{self.key}"

    @property
    def current(self) -> str | None:
        """The value that was acknowledged last."""
        return self.values[-1].value


@dataclass(slots=True)
class Tally:
    """A counter of a connector: `by` has how often each writer was told that it has counted."""

    uuid: str
    namespace: str
    key: str
    by: Counter[str] = field(default_factory=Counter)
    last: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Probe:
    """A signed request that was accepted once, to be sent again."""

    target: str
    body: bytes
    authorization: str
    at: float

    @property
    def is_young(self) -> bool:
        """Whether its timestamp is still good."""
        return time.monotonic() - self.at < PROBED_SECONDS


@dataclass(slots=True)
class Talk:
    """A conversation: the messages that were answered, in order."""

    user: str
    conversation: str
    texts: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Loss:
    """Something acknowledged that was not there any more."""

    what: str
    acknowledged_at: float


@dataclass
class Journal:
    """All that the load was told, and what it found wrong meanwhile."""

    chains: list[Chain] = field(default_factory=list)
    batches: list[list[Chain]] = field(default_factory=list)
    counters: list[Tally] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    talks: list[Talk] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    # Of good answers, by what was asked.
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    done: Counter[str] = field(default_factory=Counter)
    expiring: set[tuple[str, str]] = field(default_factory=set)
    # Times in which an unplanned fail-over may have lost what was not replicated yet.
    gaps: list[tuple[float, float]] = field(default_factory=list)
    was_full: bool = False  # Redis: it gives up histories then, before it refuses a value
    # After the load, when what is not known or answered is given up.
    give_up_at: float = float("inf")
    lock: threading.Lock = field(default_factory=threading.Lock)

    def found(self, finding: str) -> None:
        with self.lock:
            self.findings.append(finding)

    def lost(self, what: str, acknowledged_at: float) -> None:
        """Note something acknowledged that is gone; whether it may be is judged at the end."""
        with self.lock:
            self.losses.append(Loss(what, acknowledged_at))

    def go_back(self, chain: Chain, found: str | None) -> None:
        """Take the value found for the current one: what was acknowledged after it is lost."""
        known = [kept.value for kept in chain.values]
        if found not in known:
            self.found(f"{chain.uuid} {chain.member} has {found!r}, which was never written there")
            return
        at = len(known) - 1 - known[::-1].index(found)
        for kept in chain.values[at + 1 :]:
            self.lost(f"{chain.uuid} {chain.member}: {kept.value!r}", kept.at)
        del chain.values[at + 1 :]
        chain.rolled_back = True

    def count(self, what: str, number: int = 1) -> None:
        with self.lock:
            self.done[what] += number

    @contextmanager
    def gap(self) -> Iterator[None]:
        """The primary dies, or is out of reach, meanwhile."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.gaps.append((began, time.monotonic()))

    def add_gaps(self, gaps: Iterable[tuple[float, float]]) -> None:
        """Add times in which the sentinels looked for another primary."""
        merged: list[tuple[float, float]] = []
        for began, ended in sorted([*self.gaps, *gaps]):
            if merged and began <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(ended, merged[-1][1])
            else:
                merged.append((began, ended))
        self.gaps = merged

    def may_be_lost(self, loss: Loss) -> bool:
        """Whether asynchronous replication bounds this loss: it is close to a primary's end."""
        at, slack = loss.acknowledged_at, REPLICATION_SLACK_SECONDS
        return any(began - slack <= at <= ended + slack for began, ended in self.gaps)
