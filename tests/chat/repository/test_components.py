"""The component files under deploy/, loaded by a real sidecar with the real store behind it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chat.errors import StoreUnavailable
from tests.chat.conftest import dapr_repository
from tests.chat.samples import conversation, fresh_key, soon
from tests.servers import ROOT
from tests.sidecar import stores
from tests.sidecar.binary import NoSidecar
from tests.sidecar.daprd import Sidecar

FILES = (
    "dapr/redis/statestore.yaml",
    "dapr/postgresql/statestore.yaml",
    "kubernetes/statestore-redis.yaml",
    "kubernetes/statestore-postgresql.yaml",
    "compose/components/statestore.yaml",
)


@pytest.fixture(params=FILES)
def component(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A component file, with the address of a store of this test in it."""
    text = (ROOT / "deploy" / request.param).read_text()
    try:
        store = stores.make_store("redis" if "state.redis" in text else "postgresql", tmp_path)
    except NoSidecar as reason:
        pytest.skip(str(reason))
    store.start()
    if isinstance(store, stores.RedisStore):
        text = re.sub(r"(localhost|redis):6379", f"127.0.0.1:{store.port}", text)
        secret = ""
    else:
        assert isinstance(store, stores.PostgreSQLStore)
        secret = f"host=127.0.0.1 port={store.port} user=postgres database=postgres"
        text = re.sub(r"value: host=.*", f"value: {secret}", text)
        monkeypatch.setenv("STATESTORE_CONNECTION", secret)  # as compose.yaml sets it
    # There is no Kubernetes here to ask for a secret.
    yield re.sub(r"secretKeyRef:\n +name: \S+\n +key: \S+", f'value: "{secret}"', text)
    store.stop()
    if isinstance(store, stores.PostgreSQLStore):
        store.remove()


def test_component__a_job_under_another_app_id_finds_the_same_conversations(
    component: str, daprd: Path, tmp_path: Path
) -> None:
    key = fresh_key()
    for app_id in ("statekeep", "statekeep-jobs", "somebody-else"):
        sidecar = Sidecar(daprd, tmp_path / app_id, component, app_id=app_id).start()
        try:
            repository = dapr_repository(sidecar.url)
            if app_id == "statekeep":
                assert repository.check(soon()).lacks == ()
                repository.save(conversation(key), None, 60, soon())
            elif app_id == "statekeep-jobs":
                assert repository.get(key, soon()).state == conversation(key)
            else:
                with pytest.raises(StoreUnavailable):  # outside the component's scopes
                    repository.get(key, soon())
        finally:
            sidecar.kill()
