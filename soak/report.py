"""The report of a run, as it is printed."""

from collections.abc import Iterable, Iterator

from soak.chaos import Chaos
from soak.journal import Journal
from soak.layout.production import Layout
from soak.leftovers import Watch

SHOWN = 40


def lines(
    layout: Layout, journal: Journal, chaos: Chaos, watch: Watch, findings: Iterable[str]
) -> Iterator[str]:
    """Yield the lines of the report."""
    yield "Done: " + _counted(journal.done)
    yield "Answers: " + _counted(journal.answers)
    yield f"Seconds of a good answer: {', '.join(_times(journal))}"
    yield f"Faults: {len(chaos.done)}, of {len(set(chaos.done))} kinds"
    for skipped in chaos.skipped:
        yield f"Skipped: {skipped}"
    for failure in layout.failed_starts():
        yield f"A start that failed, and was tried again: {failure}"
    most = watch.most
    yield (
        f"Workers: at most {most.descriptors} files open (idle {watch.idle_descriptors}) "
        f"and {most.memory_bytes / 1e6:.0f} MB"
    )
    yield from _losses(journal)
    findings = list(findings)
    for finding in findings[:SHOWN]:
        yield f"FOUND {finding}"
    if len(findings) > SHOWN:
        yield f"… and {len(findings) - SHOWN} more"
    yield "Everything held." if not findings else f"{len(findings)} findings."


def _times(journal: Journal) -> Iterator[str]:
    for what, seconds in sorted(journal.seconds.items()):
        ordered = sorted(seconds)
        late = ordered[int(len(ordered) * 0.99)]
        yield f"{what} {ordered[len(ordered) // 2]:.3f} (p50), {late:.2f} (p99), {ordered[-1]:.2f}"


def _losses(journal: Journal) -> Iterator[str]:
    """Say what asynchronous replication has lost, and how close to a fail-over."""
    bounded = [loss for loss in journal.losses if journal.may_be_lost(loss)]
    seconds = sum(ended - began for began, ended in journal.gaps)
    yield (
        f"Lost to asynchronous replication: {len(bounded)} acknowledged, in {len(journal.gaps)} "
        f"unplanned ends of a primary or its link ({seconds:.0f} s)"
    )
    for loss in bounded[:SHOWN]:
        before = min(abs(began - loss.acknowledged_at) for began, _ in journal.gaps)
        yield f"  {loss.what} ({before:.1f} s from its beginning)"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {what}" for what, number in sorted(counts.items())) or "nothing"
