"""A pytest plugin: the environment of the tests, before Django reads it.

Each pytest process has a Valkey of its own, on a private unix socket, and an empty DATA_DIR; both
are gone afterwards. With TEST_REDIS=cluster it has a Redis Cluster of six in place of the Valkey,
with TEST_DATABASE=postgresql a PostgreSQL in place of SQLite.
Nothing of the developer's environment or of a running `make run` is used.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.redis_cluster import RedisCluster
    from tests.sidecar.stores import PostgreSQLStore

SECRET_KEYS = (
    "YTogZm9yIHRoZSB0ZXN0cyBvZiBzdGF0ZWtlZXAgLi4=,YiwgYW5vdGhlciBmb3IgdGVzdHMsIHN0YXRla2VlcC4="
)

ENVIRONMENT = {
    "SECRET_KEY": "a secret key for tests, which is long enough to be one",
    "CONNECTOR_SECRET_KEYS": SECRET_KEYS,
    "ENROLLMENT_TOKENS": "enrol-me,blue:blue-token",
    "STATE_MAX_REQUESTS_PER_SECOND": "0",
    "HTTPS_ONLY": "false",
    "CHAT_STATE_STORE": "redis",
    "CHAT_RATE_PER_MINUTE": "0",
    "JWT_SIGNING_KEY": "a signing key for tests, which is long enough to be one",
}

_folder = Path()
_valkey: "subprocess.Popen[bytes] | RedisCluster | None" = None
_database: "PostgreSQLStore | None" = None


def data_dir() -> Path:
    """The folder of this pytest process."""
    return _folder


def valkey_pid() -> int:
    """The Valkey of this pytest process."""
    assert isinstance(_valkey, subprocess.Popen)
    return _valkey.pid


def _in_memory() -> str | None:
    """Return a folder in memory, if it has room: no test cuts the power, and each commit syncs."""
    memory = "/dev/shm"
    has_room = Path(memory).is_dir() and shutil.disk_usage(memory).free > 2**30
    return memory if has_room else None


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Start the stores and set the environment."""
    global _folder, _valkey, _database
    from config.env import Environment
    from tests.redis_cluster import RedisCluster
    from tests.servers import start_valkey
    from tests.sidecar.stores import PostgreSQLStore

    for name in ("PORT", *Environment.model_fields):
        os.environ.pop(name.upper(), None)
    _folder = Path(tempfile.mkdtemp(prefix="statekeep-tests-", dir=_in_memory()))
    if os.environ.get("TEST_REDIS") == "cluster":
        _valkey = RedisCluster(_folder / "cluster", "--save", "3600 1000000").start()
        os.environ["REDIS_CLUSTER"] = _valkey.addresses
    else:
        socket = _folder / "valkey.sock"
        arguments = ("--port", "0", "--unixsocket", str(socket), "--save", "3600 1000000")
        _valkey = start_valkey(_folder / "valkey", *arguments)
        os.environ["REDIS_URL"] = f"unix://{socket}"
    if os.environ.get("TEST_DATABASE") == "postgresql":
        _database = PostgreSQLStore(max_connections=300)
        _database.start()
        os.environ["DATABASE_URL"] = _database.url.partition("?")[0]
    else:
        os.environ["DATABASE_URL"] = f"sqlite:///{_folder / 'db.sqlite3'}"
    os.environ.update(ENVIRONMENT, DATA_DIR=str(_folder))


def pytest_unconfigure() -> None:
    """Stop the stores."""
    if isinstance(_valkey, subprocess.Popen):
        _valkey.terminate()
        _valkey.wait(10)
    elif _valkey is not None:
        _valkey.stop()
    if _database is not None:
        _database.remove()
    shutil.rmtree(_folder, ignore_errors=True)
