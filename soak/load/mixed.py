"""The mixed load: writers of connectors and talkers, on threads."""

import random
import threading
import time
from collections.abc import Callable
from functools import partial

from soak.journal import Journal, Tally
from soak.layout.production import Layout
from soak.load.connectors import create_connectors
from soak.load.http import Session
from soak.load.talkers import Talker
from soak.load.writers import NAMESPACE, PAUSE_SECONDS, Writer
from soak.size import Size

WRITERS_OF_A_CONNECTOR = 2
WRITING_THREADS_MAX = 24
DRAIN_SECONDS = 600  # where many wait for few cores; what counts is what they are told
BUSY_WRITERS = 4  # of a thread: half of its steps are theirs


class Crew:
    """A thread's writers: it works for one after the other, and for its busy ones in between."""

    def __init__(self, journal: Journal, session: Session, seed: str) -> None:
        self._journal, self._session = journal, session
        self._random = random.Random(seed)
        self._recruits: list[Callable[[Session], Writer]] = []
        self._writers: list[Writer] = []

    def add(self, recruit: Callable[[Session], Writer]) -> None:
        """Add a writer, which is made when its turn comes."""
        self._recruits.append(recruit)

    def run(self, stopping: threading.Event) -> None:
        """Work until told to stop, and then until it is known what became of each write."""
        self._random.shuffle(self._recruits)
        while not stopping.is_set():
            self._next().step()
            stopping.wait(self._random.uniform(*PAUSE_SECONDS))
        self._session.close()

    def _next(self) -> Writer:
        if self._recruits and (len(self._writers) < BUSY_WRITERS or self._random.random() < 0.5):
            writer = self._recruits.pop()(self._session)
            self._writers.append(writer)
            return writer
        known = self._writers
        return self._random.choice(known[:BUSY_WRITERS] if self._recruits else known)


class Load:
    """Works from the constructor on, until `stop`."""

    def __init__(self, layout: Layout, journal: Journal, size: Size, seed: str) -> None:
        self._journal, self._stopping = journal, threading.Event()
        certificate = str(layout.certificate)
        tag = f"{random.Random(seed).getrandbits(32):08x}"
        names = [f"soak {tag} {number}" for number in range(size.connectors)]
        threads = min(WRITING_THREADS_MAX, size.connectors * WRITERS_OF_A_CONNECTOR)
        crews = [
            Crew(journal, Session(journal, certificate), f"{seed} crew {n}") for n in range(threads)
        ]
        began = time.monotonic()
        connectors = create_connectors(names)
        print(f"{len(names):,} connectors after {time.monotonic() - began:.1f} s", flush=True)
        for number, connector in enumerate(connectors):
            tally = Tally(connector.uuid, NAMESPACE, "counter")
            journal.counters.append(tally)
            for writer in range(WRITERS_OF_A_CONNECTOR):
                name = f"w{number}.{writer}"
                recruit = partial(
                    Writer, journal, connector, layout.url, name, tally, f"{seed} {name}"
                )
                crews[(number * WRITERS_OF_A_CONNECTOR + writer) % threads].add(recruit)
        talkers = [
            Talker(journal, layout.url, certificate, f"u{tag}-{n}", f"{seed} {n}", among=size.users)
            for n in range(size.users)
        ]
        self._threads = [
            threading.Thread(target=worker.run, args=[self._stopping], daemon=True)
            for worker in (*crews, *talkers)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin nothing new, and wait until the outcome of all that was begun is known."""
        self._journal.give_up_at = time.monotonic() + DRAIN_SECONDS
        self._stopping.set()
        for thread in self._threads:
            thread.join()
