"""A Redis that answers every command with an error: it is not ready, and nobody waits for it."""

import copy
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.test import Client
from redis import Redis
from redis.exceptions import ResponseError

from connector_state.redis_server import trial
from connector_state.redis_server.checks import UnfitRedis
from connector_state.store.scripts import connection, retries
from tests.connectors import SigningConnector
from tests.servers import free_port, start_valkey, wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(bool(django_settings.REDIS_CLUSTER), reason="what REDIS_URL may name"),
]

# Busy for ten seconds at most.
ENDLESS = """
local began = redis.call("TIME")[1]
while redis.call("TIME")[1] - began < 10 do end
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory) -> Iterator[int]:
    """Of a Redis that all addresses of this machine reach."""
    program = shutil.which("redis-server")
    if not program:
        pytest.skip("no redis-server here (on Debian: apt-get install redis-server)")
    port, folder = free_port(), tmp_path_factory.mktemp("r")
    arguments = ("--port", str(port), "--bind", "0.0.0.0", "--busy-reply-threshold", "100")
    server = start_valkey(Path(folder), *arguments, program=program)
    yield port
    server.kill()
    server.wait(10)


@pytest.fixture
def use(settings, monkeypatch):
    """Call it with a URL, and Redis is there."""

    def use_url(url: str) -> None:
        caches = copy.deepcopy(settings.CACHES)
        caches["default"]["LOCATION"] = url
        settings.CACHES = caches
        settings.REDIS_RETRY_SECONDS = 8
        monkeypatch.setattr(connection, "_local", threading.local())
        monkeypatch.setattr(retries, "_outage", retries._Outage())

    return use_url


def own_address() -> str:
    """Return an address of this machine that is not the loopback's; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but the loopback's")
        address: str = probe.getsockname()[0]
    return address


@pytest.mark.parametrize(
    ("own", "database", "words"),
    [(False, 99, "DB index is out of range"), (True, 0, "DENIED Redis is running in protected")],
)
def test_redis__that_is_set_up_wrongly(use, port, own, database, words):
    host = own_address() if own else "127.0.0.1"
    use(f"redis://{host}:{port}/{database}")
    with pytest.raises(UnfitRedis, match=f"^It refuses every command: {words}"):
        trial.examine()
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()["redis"]) == (503, "can't be used")
    began = time.monotonic()
    answer = SigningConnector.create().put("kept")
    assert (answer.status_code, answer.json()["code"]) == (503, "store_denied")
    assert time.monotonic() - began < 5  # it was not tried again for 8 s


def test_redis__that_runs_somebody_s_script(use, port):
    def run_script() -> None:
        with pytest.raises(ResponseError):  # it is killed
            Redis(port=port, socket_timeout=20).eval(ENDLESS, 0)

    script = threading.Thread(target=run_script)
    script.start()
    use(f"redis://127.0.0.1:{port}/0")
    try:
        wait_until(lambda: words_of(trial.examine).startswith("It refuses every command: BUSY"))
    finally:
        Redis(port=port).script_kill()
        script.join()
    assert trial.examine().description.startswith("Redis ")


def words_of(examine) -> str:
    try:
        return examine().description
    except UnfitRedis as error:
        return str(error)
