"""A run: load and faults for some time, and what came of it."""

import threading
import time
from dataclasses import dataclass

from soak.chaos import Chaos
from soak.cluster_chaos import ClusterChaos
from soak.journal import Journal
from soak.layout.cluster import RedisSix
from soak.leftovers import Watch
from soak.report import lines
from soak.size import Size
from soak.stage import Stage


@dataclass(slots=True)
class Run:
    """A run that has ended, and its journal."""

    stage: Stage
    journal: Journal
    chaos: Chaos
    watch: Watch

    def findings(self) -> list[str]:
        """Check everything, print the report, and return what must not be."""
        findings = [*self.stage.check(self.journal), *self.watch.findings()]
        report = lines(self.stage.layout, self.journal, self.chaos, self.watch, findings)
        print("\n".join(report), flush=True)
        if findings:
            print(f"The servers' logs:\n{self.stage.log_tail()}", flush=True)
        return findings


def run(stage: Stage, size: Size, seed: str, seconds: int, only: str = "") -> Run:
    """Do load and faults for so long; return when all is whole and what was begun has ended."""
    journal = Journal()
    watch = Watch(stage.layout)
    load = stage.load(journal, size, seed)
    kind = ClusterChaos if isinstance(stage.layout.redis, RedisSix) else Chaos
    chaos = kind(stage.layout, journal, seed, only)
    stopping = threading.Event()
    thread = threading.Thread(target=chaos.run, args=[stopping], daemon=True)
    thread.start()
    time.sleep(seconds)
    stopping.set()
    thread.join()
    stage.settle(load, journal)
    watch.stop()
    return Run(stage, journal, chaos, watch)
