"""Each test of the state API runs twice: in a thread, as under gunicorn, and through the door."""

from collections.abc import Iterator
from functools import partial

import pytest
from django.test import Client

from tests import connectors
from tests.door import DoorClient, door_in_one_thread


@pytest.fixture(autouse=True, params=["in a thread", "through the door"])
def _way_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param == "in a thread":
        yield
        return
    with door_in_one_thread(monkeypatch) as runner:
        monkeypatch.setattr(connectors, "Client", partial(DoorClient, runner))
        yield


@pytest.fixture
def client(_way_in: None) -> Client:
    """pytest-django's, on the same way in."""
    return connectors.Client()
