"""Changes of credentials over the processes of a real granian, while a thousand connectors call."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import psycopg
import pytest
import requests

from tests.connectors import SigningConnector
from tests.servers import freeze, granian, thaw, wait_until
from tests.sidecar.binary import NoSidecar
from tests.sidecar.stores import PostgreSQLStore
from tests.test_servers import Product

CONNECTORS = 1000
CALLERS = 4

CREATE = f"""
import json
from django.db import transaction
from connector_state.credentials.issuing import create_connector
with transaction.atomic():
    issued = [create_connector(f"c{{n}}").as_json() for n in range({CONNECTORS})]
print(json.dumps(issued))
"""


class Fleet:
    """Connectors that call all the time, each in its turn."""

    def __init__(self, product: Product) -> None:
        created = json.loads(product.manage("shell", "-v", "0", "-c", CREATE))
        self.connectors = [
            SigningConnector(each["connector_uuid"], each["hmac_key_id"], each["hmac_secret"])
            for each in created
        ]
        self._product = product
        self._taken = iter(self.connectors[::-1])
        self._changed: set[str] = set()
        self._ends = threading.Event()
        self.refused: list[tuple[int, bytes]] = []
        self.calls = itertools.count()
        self._callers = [
            threading.Thread(target=self._call, args=[self.connectors[n::CALLERS]])
            for n in range(CALLERS)
        ]
        for caller in self._callers:
            caller.start()

    def take(self) -> SigningConnector:
        """Return one that the test may change."""
        connector = next(self._taken)
        self._changed.add(connector.uuid)
        assert set(self.statuses(connector)) == {200}
        return connector

    def statuses(self, connector: SigningConnector, method: str = "GET") -> list[int]:
        """Call often enough, each time on a new connection, that every worker has answered."""
        return [self._send(connector, method) for _ in range(12)]

    def _send(self, connector: SigningConnector, method: str) -> int:
        target, body = connector.path(), b"v" if method == "PUT" else b""
        headers = {"Authorization": connector.authorization(method, target, body)}
        url = self._product.server.url + target
        return requests.request(method, url, data=body, headers=headers, timeout=30).status_code

    def _call(self, connectors: list[SigningConnector]) -> None:
        peer = HTTPConnection("127.0.0.1", self._product.server.port, timeout=30)
        for connector in itertools.cycle(connectors):
            if self._ends.wait(0.01):
                break
            target = connector.path()
            headers = {"Authorization": connector.authorization("GET", target)}
            try:
                peer.request("GET", target, headers=headers)
                response = peer.getresponse()
            except ConnectionError:
                # A worker that was frozen for longer than a silent connection may last lets it go.
                peer.close()
                continue
            answer = response.status, response.read()
            next(self.calls)
            if answer[0] != 200 and connector.uuid not in self._changed:
                self.refused.append(answer)
        peer.close()

    def end(self) -> None:
        self._ends.set()
        for caller in self._callers:
            caller.join()


class OnPostgreSQL(Product):
    """The product with a PostgreSQL."""

    def start_valkey(self) -> None:
        super().start_valkey()
        self.database = PostgreSQLStore()
        self.database.start()
        self.environ["DATABASE_URL"] = self.database.url

    def stop(self) -> None:
        super().stop()
        self.database.remove()


@pytest.fixture(scope="module", params=[Product, OnPostgreSQL])
def product(request, tmp_path_factory) -> Iterator[Product]:
    try:
        product = request.param(granian, tmp_path_factory.mktemp("p"))
    except NoSidecar as missing:
        pytest.skip(str(missing))
    yield product
    product.stop()


@pytest.fixture(scope="module")
def fleet(product) -> Iterator[Fleet]:
    fleet = Fleet(product)
    yield fleet
    fleet.end()


@pytest.fixture(autouse=True)
def nobody_else_is_refused(fleet) -> Iterator[None]:
    yield
    assert fleet.refused == []


@pytest.fixture
def database(product) -> PostgreSQLStore:
    if not isinstance(product, OnPostgreSQL):
        pytest.skip("this one is of PostgreSQL")
    return product.database


def refuses(fleet: Fleet, connector: SigningConnector, status: int, method: str = "GET") -> None:
    def is_refused() -> bool:
        return set(fleet.statuses(connector, method)) == {status}

    wait_until(is_refused, 2 + 1, f"{status} on every worker")  # and 12 calls take their time


def test_revocation__holds_on_every_worker(product, fleet):
    connector = fleet.take()
    product.manage("revoke_credential", connector.key_id)
    refuses(fleet, connector, 401)


def test_disabling__holds_on_every_worker_and_so_does_enabling(product, fleet):
    connector = fleet.take()
    product.manage("set_policy", connector.uuid, "--no-enabled")
    refuses(fleet, connector, 401)
    product.manage("set_policy", connector.uuid, "--enabled")
    refuses(fleet, connector, 200)


def test_policy__holds_on_every_worker(product, fleet):
    connector = fleet.take()
    product.manage("set_policy", connector.uuid, "--read-only")
    refuses(fleet, connector, 403, "PUT")


def test_expiry__holds_on_every_worker(product, fleet):
    connector = fleet.take()
    product.manage("rotate_credential", connector.uuid, "--overlap", "1s")
    time.sleep(1)
    refuses(fleet, connector, 401)


def test_frozen__workers_look_before_they_serve(product, fleet):
    connector = fleet.take()
    pid = product.server.process.pid
    workers = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    for worker in workers:
        freeze(worker)
    frozen = time.monotonic()
    product.manage("shell", "-v", "0", "-c", revoke(connector))
    # For two seconds after its last look a worker may serve what it knew then.
    time.sleep(max(0.5, frozen + 2.5 - time.monotonic()))
    for worker in workers:
        thaw(worker)
    assert set(fleet.statuses(connector)) == {401}


def revoke(connector: SigningConnector) -> str:
    return (
        "from connector_state.credentials.issuing import revoke_credential;"
        f"revoke_credential('{connector.key_id}')"
    )


# One thread's transaction begins first, and commits last, or would if the other one did not wait.
OVERLAP = """
import threading, time
from connector_state.models import Connector
from django.db import connections, transaction

changed = threading.Event()

def begin_first():
    with transaction.atomic():
        Connector.objects.filter(pk="{0}").update(**{{"{first}": True}})
        changed.set()
        time.sleep(1.5)
        Connector.objects.filter(pk="{0}").update(read_only=True)
    connections.close_all()

thread = threading.Thread(target=begin_first)
thread.start()
changed.wait()
Connector.objects.filter(pk="{1}").update(read_only=True)
thread.join()
"""


@pytest.mark.parametrize("first", ["read_only", "name"])
def test_order__a_transaction_that_begins_first_and_commits_last(product, database, fleet, first):
    one, other = fleet.take(), fleet.take()
    code = OVERLAP.format(one.uuid, other.uuid, first=first)
    product.manage("shell", "-v", "0", "-c", code)
    refuses(fleet, one, 403, "PUT")
    refuses(fleet, other, 403, "PUT")


def test_steady_state__requests_make_no_statement(database, fleet):
    with psycopg.connect(database.url, autocommit=True) as connection:

        def transactions() -> int:
            row = connection.execute("SELECT sum(xact_commit) FROM pg_stat_database").fetchone()
            assert row is not None
            return int(row[0])

        def is_steady() -> bool:
            before, calls, began = transactions(), next(fleet.calls), time.monotonic()
            time.sleep(4)
            made, calls = transactions() - before, next(fleet.calls) - calls
            # Each of two workers looks once a second, with a ping of its connection before; the
            # rest is PostgreSQL's own and ours here.
            return made < 8 * (time.monotonic() - began) < calls

        # PostgreSQL counts a transaction when its connection comes to it: those before are late.
        wait_until(is_steady, 60, "a steady state without statements")


def test_outage__known_connectors_are_served(product, database, fleet):
    connector = fleet.take()
    fleet.statuses(connector)

    def readiness(query: str = "") -> requests.Response:
        return requests.get(f"{product.server.url}/readyz{query}", timeout=30)

    assert (readiness().status_code, readiness("?for=state").status_code) == (200, 200)
    database.stop()
    try:
        until = time.monotonic() + 4  # longer than without a bridge
        while time.monotonic() < until:
            assert set(fleet.statuses(connector)) == {200}
        assert (readiness().status_code, readiness("?for=state").status_code) == (503, 200)
        assert readiness("?for=state").json()["database"] == "does not answer"
    finally:
        database.start()
    product.manage("shell", "-v", "0", "-c", revoke(connector))
    refuses(fleet, connector, 401)
    wait_until(lambda: readiness().status_code == 200, what="readiness")
