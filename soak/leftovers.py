"""What must not grow, and what must not be left over: descriptors, memory, locks, processes."""

import os
import statistics
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.db import connection

from soak.layout.parts import marked_processes, wait_while
from soak.layout.production import Layout

SAMPLE_SECONDS = 5.0
SAMPLES_MIN = 24  # of two minutes: a younger worker is still growing to its size
GROWTH_MAX = 1.25
GROWTH_MAX_BYTES = 32 << 20
# Beside what an idle worker has: a connection to the database for each thread, and pools.
DESCRIPTORS_MAX = 128
IDLE_SECONDS = 60
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sample:
    """What a worker uses at a moment: its descriptors and its memory."""

    descriptors: int
    memory_bytes: int


class Watch:
    """Samples the servers' workers now and then."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.samples: dict[int, list[Sample]] = {}
        self._stopping = threading.Event()
        self._look()
        self.idle_descriptors = max((s[0].descriptors for s in self.samples.values()), default=0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(SAMPLE_SECONDS):
            self._look()

    def _look(self) -> None:
        for server in self._layout.servers:
            for pid in server.pids()[1:]:
                with suppress(OSError, ValueError):
                    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                    sample = Sample(_descriptors(pid), pages * PAGE_BYTES)
                    self.samples.setdefault(pid, []).append(sample)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def findings(self) -> Iterator[str]:
        """Say which workers have grown; call it when nothing is under way any more."""
        most = self.idle_descriptors + DESCRIPTORS_MAX
        for server in self._layout.servers:
            for pid in server.pids()[1:]:
                if not wait_while(lambda p=pid: _descriptors(p) > most, IDLE_SECONDS):
                    yield f"a worker of {server.name} has {_descriptors(pid)} files open when idle"
        for pid, samples in self.samples.items():
            if len(samples) >= SAMPLES_MIN:
                quarter = len(samples) // 4
                memory = [sample.memory_bytes for sample in samples]
                before = statistics.median(memory[quarter : 2 * quarter])
                after = statistics.median(memory[-quarter:])
                if after > before * GROWTH_MAX and after > before + GROWTH_MAX_BYTES:
                    yield f"worker {pid} grew from {before / 1e6:.0f} to {after / 1e6:.0f} MB"

    @property
    def most(self) -> Sample:
        """The largest figures of any worker."""
        every = [sample for samples in self.samples.values() for sample in samples]
        return Sample(max(s.descriptors for s in every), max(s.memory_bytes for s in every))


def _descriptors(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0


def database_findings() -> list[str]:
    """Say which transactions and locks are left in the database, and don't end."""
    wait_while(lambda: list(_in_database()), IDLE_SECONDS)
    return list(_in_database())


def _in_database() -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid, state, query FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND backend_type = 'client backend' AND state <> 'idle'"
        )
        for pid, state, query in cursor.fetchall():
            yield f"backend {pid} of the database is {state}: {query[:100]}"
        cursor.execute("SELECT count(*) FROM pg_locks WHERE pid <> pg_backend_pid()")
        (locks,) = cursor.fetchone() or (0,)
        if locks:
            yield f"{locks} locks are left in the database"


def process_findings(mark: str) -> Iterator[str]:
    """Say which processes of the layout outlived it."""
    wait_while(lambda: marked_processes(mark), IDLE_SECONDS)
    for pid, command in marked_processes(mark).items():
        yield f"process {pid} outlived the layout: {command}"
