"""A dsx-connect beside a real granian: its credentials over HTTP, and its Redis frozen."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat

import pytest
import requests

from tests.connectors import SigningConnector
from tests.dsx_connect import ENV, DsxConnect
from tests.servers import freeze, granian, thaw, wait_until
from tests.test_servers import Product

CALLS = 12


@pytest.fixture(scope="module")
def product(dsx_connect_server: DsxConnect, tmp_path_factory):
    def start(environ, log, workers, threads):
        place = {"DSX_CONNECT_REDIS_URL": dsx_connect_server.url, "DSX_CONNECT_ENV": ENV}
        return granian(environ | place, log, workers=1, threads=threads)  # one: it knows who called

    product = Product(start, tmp_path_factory.mktemp("p"))
    yield product
    product.stop()


@pytest.fixture
def call(product):
    def call(connector: SigningConnector, method: str = "GET", body: bytes = b""):
        target = connector.path(key="delta:user@contoso")
        headers = {"Authorization": connector.authorization(method, target, body)}
        url = product.server.url + target
        return requests.request(method, url, data=body, headers=headers, timeout=30)

    return call


@contextmanager
def meanwhile(call, connectors: Iterator[SigningConnector]) -> Iterator[list[requests.Response]]:
    """Let these call in turn, four at once, and collect what they are answered."""
    answers: list[requests.Response] = []
    over = threading.Event()

    def ask(connector: SigningConnector) -> None:
        if not over.is_set():
            answers.append(call(connector))

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, each) for each in connectors]
        wait_until(lambda: len(answers) > 8, what="some answers")
        try:
            yield answers
        finally:
            over.set()
    for each in asking:
        each.result()


def test_outage__stops_neither_a_known_connector_nor_ours(product, dsx_connect_server, call):
    theirs, late = dsx_connect_server.register(), dsx_connect_server.register()

    def statuses(connector: SigningConnector) -> set[int]:
        return {call(connector).status_code for _ in range(CALLS)}

    assert call(theirs, "PUT", b"cursor").status_code == 204
    assert call(theirs).json() == {"value": "cursor"}
    assert statuses(theirs) == statuses(product.connector) == {200}
    freeze(dsx_connect_server.process.pid)
    try:
        with meanwhile(call, repeat(late, 500)) as refused:
            assert statuses(product.connector) == statuses(theirs) == {200}
        assert {each.status_code for each in refused} == {503}
        assert {each.json()["code"] for each in refused} == {"dsx_connect_unavailable"}
        readiness = requests.get(f"{product.server.url}/readyz?for=state", timeout=30)
        assert (readiness.status_code, readiness.json()["dsx_connect"]) == (200, "does not answer")
    finally:
        thaw(dsx_connect_server.process.pid)
    wait_until(lambda: statuses(late) == {200}, what="the credential's being found")
    log = product.server.log.read_text()
    assert theirs.secret not in log and late.secret not in log


def test_invented__key_ids_stop_nobody(product, dsx_connect_server, call):
    theirs = dsx_connect_server.register()
    assert {call(theirs).status_code for _ in range(CALLS)} == {200}
    invented = (SigningConnector(theirs.uuid, f"invented{n}", "x") for n in range(2000))
    with meanwhile(call, invented) as answers:
        both = (theirs, product.connector)
        assert {call(each).status_code for each in both for _ in range(30)} == {200}
    assert {each.status_code for each in answers} <= {401, 503}
