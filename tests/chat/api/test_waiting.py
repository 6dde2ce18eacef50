"""Messages that wait for a model: under the door they hold no thread and no database connection."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from tests import servers
from tests.chat.api.talking_model import TalkingModel
from tests.chat.calls import User
from tests.sidecar.binary import NoSidecar
from tests.sidecar.stores import PostgreSQLStore
from tests.test_servers import Product

THREADS, MESSAGES = 2, 12
CONNECTIONS_MAX = 2 * THREADS + 2  # of its threads, the threads of turns, and what looks after them


class Waiting(Product):
    """The product with few threads and many turns, whose model says nothing by itself."""

    def __init__(self, folder: Path, database_url: str, model: TalkingModel) -> None:
        self._more = {
            "DATABASE_URL": database_url,
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": "key",
            "CHAT_TURN_SECONDS": "60",
            "CHAT_MAX_TURNS_PER_PROCESS": str(MESSAGES),
            "CHAT_QUEUE_SECONDS": "60",
        }
        super().__init__(servers.granian, folder)

    def start_valkey(self) -> None:
        self.environ |= self._more
        super().start_valkey()

    def start(self) -> None:
        log = self.folder / "log"
        self.server = servers.granian(self.environ, log, workers=1, threads=THREADS)

    @property
    def connections(self) -> int:
        """How many connections to the database there are."""
        url = self.environ["DATABASE_URL"]
        if url.startswith("sqlite"):
            path = url.removeprefix("sqlite:///")
            links = Path("/proc").glob("[0-9]*/fd/*")
            return sum(_target(link) == path for link in links)
        with psycopg.connect(url) as database:
            found = database.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            ).fetchone()
        return found[0] - 1 if found else 0


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # of a process that has ended
        return ""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def product(request, model, tmp_path_factory) -> Iterator[Waiting]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "sqlite":
        product = Waiting(folder, f"sqlite:///{folder / 'db.sqlite3'}", model)
        yield product
        product.stop()
        return
    try:
        store = PostgreSQLStore()
    except NoSidecar as reason:
        pytest.skip(str(reason))
    store.start()
    product = Waiting(folder, store.url, model)
    yield product
    product.stop()
    store.remove()


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_waiting__holds_neither_threads_nor_connections(product, model, accept):
    def send(number: int) -> str:
        user = User(product.server, f"{accept[:4]}-{number}")
        return user.chat("hello", Accept=accept).text

    with ThreadPoolExecutor(MESSAGES) as people:
        answers = [people.submit(send, number) for number in range(MESSAGES)]
        asked = [model.asked() for _ in range(MESSAGES)]  # with a thread each it would be two
        assert 0 < product.connections <= CONNECTIONS_MAX
        for one in asked:
            one.say("done waiting")
            one.end()
        assert all("done waiting" in answer.result() for answer in answers)


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_queue__messages_wait_for_a_slot_and_hold_nothing(product, model, accept):
    def send(number: int) -> str:
        user = User(product.server, f"queue-{accept[:4]}-{number}")
        return user.chat("hello", Accept=accept).text

    queued = 2 * THREADS
    with ThreadPoolExecutor(MESSAGES + queued) as people:
        answers = [people.submit(send, number) for number in range(MESSAGES + queued)]
        asked = [model.asked() for _ in range(MESSAGES)]
        reader = User(product.server)
        # A thread is left for it.
        assert reader.session.get(f"{reader.url}/conversations", timeout=60).status_code == 200
        assert product.connections <= CONNECTIONS_MAX
        for number in range(MESSAGES + queued):
            asked[number].say("done waiting")
            asked[number].end()
            if number < queued:
                asked.append(model.asked())
        assert all("done waiting" in answer.result() for answer in answers)
