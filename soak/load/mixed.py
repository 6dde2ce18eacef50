"""The mixed load: writers of connectors and talkers, each on a thread."""

import random
import threading

from connector_state.credentials.issuing import create_connector
from soak.journal import Journal, Tally
from soak.layout.production import Layout
from soak.load.talkers import Talker
from soak.load.writers import NAMESPACE, Writer
from tests.connectors import SigningConnector

WRITERS_OF_A_CONNECTOR = 2


class Load:
    """Works from the constructor on, until `stop`."""

    def __init__(
        self, layout: Layout, journal: Journal, connectors: int, users: int, seed: str
    ) -> None:
        self._stopping = threading.Event()
        certificate = str(layout.certificate)
        tag = f"{random.Random(seed).getrandbits(32):08x}"
        self._workers: list[Writer | Talker] = []
        for number in range(connectors):
            issued = create_connector(f"soak {tag} {number}")
            uuid = str(issued.connector.uuid)
            connector = SigningConnector(uuid, issued.key_id, issued.secret)
            tally = Tally(uuid, NAMESPACE, "counter")
            journal.counters.append(tally)
            for writer in range(WRITERS_OF_A_CONNECTOR):
                name = f"w{number}.{writer}"
                self._workers.append(
                    Writer(
                        journal, connector, layout.url, certificate, name, tally, f"{seed} {name}"
                    )
                )
        for number in range(users):
            name = f"u{tag}-{number}"
            self._workers.append(Talker(journal, layout.url, certificate, name, f"{seed} {number}"))
        self._threads = [
            threading.Thread(target=worker.run, args=[self._stopping], daemon=True)
            for worker in self._workers
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin nothing new, and wait until the outcome of all that was begun is known."""
        for worker in self._workers:
            worker.drain()
        self._stopping.set()
        for thread in self._threads:
            thread.join()
