"""Each test of the state API runs four times: in a thread and through the door, both in this
process, and on a real granian and a real gunicorn.

A test that reaches into the process that answers is marked `in_process(reason)`, and runs twice.
"""

from collections.abc import Iterator
from functools import partial

import pytest
from django.test import Client

from tests import connectors
from tests.connector_state.api.real_servers import START, RealClient, RealServers
from tests.door import DoorClient, door_in_one_thread

# A server sees only what was committed.
COMMITTED = pytest.mark.django_db(transaction=True, available_apps=["connector_state"])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    ways = [pytest.param("in a thread"), pytest.param("through the door")]
    if metafunc.definition.get_closest_marker("in_process") is None:
        # In one group all tests of a kind share one server, however many processes run the tests.
        ways += [
            pytest.param(way, marks=[COMMITTED, pytest.mark.xdist_group(way)]) for way in START
        ]
    metafunc.parametrize("_way_in", ways, indirect=True)


@pytest.fixture(scope="package")
def real_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServers]:
    servers = RealServers(tmp_path_factory.mktemp("servers"))
    yield servers
    servers.stop()  # here: a second later they would count in the Redis of other tests


@pytest.fixture(autouse=True)
def _way_in(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, real_servers: RealServers
) -> Iterator[None]:
    if request.param in START:
        server = real_servers[request.param]
        monkeypatch.setattr(connectors, "Client", partial(RealClient, server))
    if request.param != "through the door":
        yield
        return
    with door_in_one_thread(monkeypatch) as runner:
        monkeypatch.setattr(connectors, "Client", partial(DoorClient, runner))
        yield


@pytest.fixture
def client(_way_in: None) -> Client:
    """pytest-django's, on the same way in."""
    return connectors.Client()
