"""The probe of the conversation store asks what chats ask, and does no harm to them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chat.repository import conversation_repository, forget_repositories
from chat.repository.breaker import FAILURES_TO_OPEN
from tests.chat.drive import ask
from tests.chat.samples import soon
from tests.sidecar import stores
from tests.sidecar.daprd import Sidecar
from tests.sidecar.fault_proxy import FaultProxy

pytestmark = pytest.mark.django_db(transaction=True)

STATE_ONLY = """
apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: {name: stateonly}
spec:
  api:
    allowed:
    - {name: state, version: v1.0, protocol: http}
"""


@pytest.fixture
def state_only(daprd: Path, tmp_path: Path, settings) -> Iterator[Sidecar]:
    """The service on a sidecar whose Configuration allows the state API alone."""
    store = stores.make_store("sqlite", tmp_path)
    folder = tmp_path / "sidecar"
    running = Sidecar(daprd, folder, store.component, configuration=STATE_ONLY).start()
    settings.CHAT_STATE_STORE, settings.DAPR_ENDPOINT = "dapr", running.url
    yield running
    running.kill()


def test_probe__of_a_sidecar_that_allows_state_alone(state_only, client):
    for _ in range(12):
        assert client.get("/readyz").json()["conversations"] == "ok"
    assert "does not describe" in conversation_repository().check(soon()).description
    assert [ask(f"message {n}").degraded for n in range(6)] == [False] * 6


def test_probe__that_fails_does_not_open_the_breaker(sidecar, settings):
    settings.CHAT_STATE_STORE = "dapr"
    with FaultProxy(sidecar.url) as proxy:
        settings.DAPR_ENDPOINT = proxy.url
        proxy.fail("error", method="GET", times=FAILURES_TO_OPEN + 1)
        for _ in range(FAILURES_TO_OPEN + 1):
            with pytest.raises(Exception, match="can't be reached"):
                conversation_repository().check(soon())
        assert not ask("hello").degraded
    forget_repositories()


def test_probe__that_succeeds_does_not_close_it(sidecar, settings):
    settings.CHAT_STATE_STORE, settings.CHAT_STORE_PAUSE_SECONDS = "dapr", 60
    with FaultProxy(sidecar.url) as proxy:
        settings.DAPR_ENDPOINT = proxy.url
        proxy.fail("error", method="GET", times=None)
        assert [ask(f"message {n}").degraded for n in range(3)] == [True] * 3
        proxy.clear()
        conversation_repository().check(soon())
        assert ask("hello").degraded
    forget_repositories()
