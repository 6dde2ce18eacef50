"""Which conversation store is used, and how it is found: settings, make run, the factory."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chat.errors import StoreMissing, StoreUnavailable
from chat.repository import conversation_repository, forget_repositories
from chat.repository.breaker import FAILURES_TO_OPEN
from config.local import generated, run
from tests.chat.samples import conversation, fresh_key, soon
from tests.environment import ENVIRONMENT
from tests.servers import ROOT, wait_until
from tests.sidecar.daprd import Sidecar

SHOW = "from config import env; e = env.load(); print(e.chat_state_store, e.dapr_endpoint)"
ANNOUNCEMENTS = ("CHAT_STATE_STORE", "DAPR_HTTP_ENDPOINT", "DAPR_HTTP_PORT")


def _load(environ: Mapping[str, str], *, external: bool = True) -> tuple[int, str]:
    """Load the settings in a process of their own; return its status and its one line."""
    clean = {
        name: value
        for name, value in {**os.environ, **ENVIRONMENT}.items()
        if not name.startswith(("CHAT_", "DAPR_", "REDIS_", "DATABASE_URL"))
    }
    if external:
        clean |= {"REDIS_URL": "redis://127.0.0.1:1/0", "DATABASE_URL": "sqlite:///none"}
    result = subprocess.run(
        [sys.executable, "-c", SHOW],
        env={**clean, **environ},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, (result.stdout + result.stderr).strip()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "dapr http://127.0.0.1:3500"),
        ({"DAPR_HTTP_PORT": "3501"}, "dapr http://127.0.0.1:3501"),
        ({"DAPR_HTTP_PORT": "3501", "DAPR_RUNTIME_HOST": "::1"}, "dapr http://[::1]:3501"),
        (
            {"DAPR_HTTP_PORT": "3501", "DAPR_HTTP_ENDPOINT": "https://dapr.example/"},
            "dapr https://dapr.example",
        ),
        ({"CHAT_STATE_STORE": "redis"}, "redis http://127.0.0.1:3500"),
        ({"CHAT_MESSAGE_WINDOW": "200"}, "dapr http://127.0.0.1:3500"),
    ],
)
def test_settings__where_conversations_are(
    environ: dict[str, str], expected: str, tmp_path: Path
) -> None:
    assert _load({"DATA_DIR": str(tmp_path), **environ}) == (0, expected)


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"CHAT_MESSAGE_WINDOW": "201"}, "CHAT_MESSAGE_WINDOW"),
        ({"CHAT_MAX_MESSAGES": "49"}, "CHAT_MAX_MESSAGES"),
        ({"CHAT_MESSAGE_WINDOW": "0"}, "CHAT_MESSAGE_WINDOW"),
        ({"CHAT_STATE_TTL": "0"}, "CHAT_STATE_TTL"),
        ({"CHAT_STATE_TTL": "30d"}, "CHAT_STATE_TTL"),
        ({"CHAT_MAX_STATE_BYTES": "4194304"}, "CHAT_MAX_STATE_BYTES"),
        ({"CHAT_STATE_STORE": "postgres"}, "CHAT_STATE_STORE"),
        ({"DAPR_HTTP_PORT": "http://x"}, "DAPR_HTTP_PORT"),
        ({"DAPR_HTTP_ENDPOINT": "localhost:3500"}, "DAPR_HTTP_ENDPOINT"),
        ({"DAPR_HTTP_ENDPOINT": "http://x/v1.0"}, "DAPR_HTTP_ENDPOINT"),
    ],
)
def test_settings__a_bad_one_stops_the_start_in_one_line(
    environ: dict[str, str], name: str, tmp_path: Path
) -> None:
    status, output = _load({"DATA_DIR": str(tmp_path), **environ})
    assert status == 1
    assert output.startswith("statekeep: ")
    assert name in output
    assert "\n" not in output


def _make_run(monkeypatch: pytest.MonkeyPatch, data_dir: Path, **environ: str) -> str:
    """What `make run` records with this environment, as it would start."""
    for name in ANNOUNCEMENTS:
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    run.choose_chat_store()
    file = data_dir / generated.FILE
    settings = generated.complete(generated.read(file), embedded="REDIS_URL" not in environ)
    generated.write(file, settings)
    return settings["CHAT_STATE_STORE"]


def test_make_run__takes_redis_where_no_sidecar_is_announced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert _make_run(monkeypatch, tmp_path) == "redis"
    assert os.environ["CHAT_STATE_STORE"] == "redis"  # for the processes that it starts
    monkeypatch.undo()
    assert _make_run(monkeypatch, tmp_path, DAPR_HTTP_PORT="3500") == "dapr"
    assert _make_run(monkeypatch, tmp_path, DAPR_HTTP_ENDPOINT="http://x:1") == "dapr"
    assert _make_run(monkeypatch, tmp_path, CHAT_STATE_STORE="dapr") == "dapr"
    assert _make_run(monkeypatch, tmp_path) == "redis"


def test_make_run__its_choice_holds_for_manage_py(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data_dir = {"DATA_DIR": str(tmp_path)}
    _make_run(monkeypatch, tmp_path)
    assert _load(data_dir, external=False)[1].startswith("redis ")
    _make_run(monkeypatch, tmp_path, REDIS_URL="redis://127.0.0.1:1/0")
    assert _load(data_dir)[1].startswith("redis ")
    assert _load({**data_dir, "DAPR_HTTP_PORT": "3501"})[1].startswith("dapr ")
    assert _load({**data_dir, "CHAT_STATE_STORE": "dapr"})[1].startswith("dapr ")


@pytest.mark.parametrize("external", [True, False])
def test_make_run__its_sidecar_is_that_of_manage_py(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, external: bool
) -> None:
    data_dir = {"DATA_DIR": str(tmp_path)}
    stores = {"REDIS_URL": "redis://127.0.0.1:1/0"} if external else {}
    _make_run(monkeypatch, tmp_path, DAPR_HTTP_PORT="3977", **stores)
    assert _load(data_dir, external=external)[1] == "dapr http://127.0.0.1:3977"
    announced = {**data_dir, "DAPR_HTTP_PORT": "3501"}
    assert _load(announced, external=external)[1] == "dapr http://127.0.0.1:3501"
    monkeypatch.undo()
    _make_run(monkeypatch, tmp_path, **stores)
    assert _load(data_dir, external=external)[1].startswith("redis ")
    assert _load(announced, external=external)[1] == "dapr http://127.0.0.1:3501"


def test_make_run__what_it_chose_for_its_own_stores_is_not_for_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _make_run(monkeypatch, tmp_path)
    assert _load({"DATA_DIR": str(tmp_path)})[1].startswith("dapr ")


# --- The factory --------------------------------------------------------------------------------


@pytest.fixture
def _dapr_settings(settings: Any, sidecar: Sidecar) -> None:
    settings.CHAT_STATE_STORE = "dapr"
    settings.DAPR_ENDPOINT = sidecar.url
    settings.CHAT_STORE_TIMEOUT_SECONDS = 0.5
    settings.CHAT_STORE_PAUSE_SECONDS = 0.3
    forget_repositories()


def test_factory__one_repository_a_process_and_setting() -> None:
    assert conversation_repository() is conversation_repository()
    assert conversation_repository().check(soon()).backend == "redis"


@pytest.mark.usefixtures("_dapr_settings")
def test_factory__dapr_behind_a_breaker(sidecar: Sidecar) -> None:
    repository = conversation_repository()
    key = fresh_key()
    repository.save(conversation(key), None, 60, soon())
    sidecar.freeze()
    for _ in range(FAILURES_TO_OPEN):
        with pytest.raises(StoreUnavailable):
            repository.get(key, soon())
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            repository.get(key, soon())
    # Twenty timeouts would be ten seconds; now and then a probe takes one.
    assert time.monotonic() - began < 2
    sidecar.thaw()

    def is_back() -> bool:
        try:
            return repository.get(key, soon()).state == conversation(key)
        except StoreUnavailable:
            return False

    wait_until(is_back, seconds=5, what="the breaker's closing")
    with pytest.raises(StoreMissing):
        repository.get(fresh_key(), soon())
