"""Connectors on the origin's own framework, where DSX_CONNECT_CHECKOUT names a copy of it.

The copy (github.com/deep-instinct/dsx-connect) is never part of this repository. It needs a `.venv`
with fastapi, httpx, pydantic-settings, uvicorn and colorlog.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests import servers
from tests.environment import ENVIRONMENT
from tests.servers import ROOT
from tests.test_servers import Product

CHECKOUT = Path(os.environ.get("DSX_CONNECT_CHECKOUT", ""))
PYTHON = CHECKOUT / ".venv/bin/python"
TOKEN = ENVIRONMENT["ENROLLMENT_TOKENS"].split(",")[0]
KEYS = (
    "delta",
    "delta:user@contoso",
    "a/b c+d",
    "it's(1)!*,~",
    "na\u00efve",
    "100%",
    "a%2Fb",
)

pytestmark = pytest.mark.skipif(
    not os.environ.get("DSX_CONNECT_CHECKOUT"),
    reason="DSX_CONNECT_CHECKOUT names no copy of the origin: its framework was not run",
)


class OriginConnector:
    """A process with the framework; a folder is the connector, as it holds its UUID."""

    def __init__(self, product: Product, folder: Path, **environ: str) -> None:
        folder.mkdir(exist_ok=True)
        self._process = subprocess.Popen(
            [str(PYTHON), "-P", str(ROOT / "tests/origin_connector.py")],
            cwd=folder,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(CHECKOUT),
                "DSXCONNECTOR_DATA_DIR": str(folder),
                "DSXCONNECTOR_DSX_CONNECT_URL": product.server.url,
                "DSXCONNECT_ENROLLMENT_TOKEN": TOKEN,
                **environ,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, *step: str) -> object:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(step) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:  # it logs there too
            if line.startswith("answer "):
                return json.loads(line.removeprefix("answer "))
        raise AssertionError("it has ended")

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    product = Product(servers.granian, tmp_path_factory.mktemp("p"))
    yield product
    product.stop()


@pytest.fixture
def start(product, tmp_path):
    started = []

    def start(**environ: str) -> OriginConnector:
        started.append(OriginConnector(product, tmp_path / "connector", **environ))
        return started[-1]

    yield start
    for connector in started:
        connector.end()


def test_a_connectors_life__heartbeats_awkward_keys_and_a_restart(start):
    connector = start()
    assert connector("get", "delta") == 401  # as m365 does before it has registered
    registered = connector("register")
    assert registered[0] == "success"
    assert connector("register") == registered
    for key in KEYS:
        assert connector("get", key) == ""
        assert connector("put", key, f"cursor of {key}") == 204
    assert connector("unregister") == "success"
    restarted = start()
    assert restarted("register") == registered
    assert {key: restarted("get", key) for key in KEYS} == {key: f"cursor of {key}" for key in KEYS}


def test_rotation__the_next_heartbeat_brings_the_new_credential(start, product):
    connector = start()
    _, old = connector("register")
    assert connector("put", "delta", "cursor") == 204
    uuid = str(connector("uuid"))
    new = json.loads(product.manage("rotate_credential", uuid, "--json"))["hmac_key_id"]
    assert connector("get", "delta") == "cursor"  # by the old one, which is good for a while
    assert connector("register") == ["success", new]
    product.manage("revoke_credential", str(old))
    assert connector("get", "delta") == "cursor"


def test_take_over__it_goes_on_with_the_credential_that_it_was_given(start, product):
    uuid = str(start()("uuid"))
    created = json.loads(
        product.manage("create_connector", "m365", "--uuid", uuid, "--group", "", "--json")
    )
    key_id, secret = created["hmac_key_id"], created["hmac_secret"]
    connector = start(DSXCONNECTOR_AUTH__HMAC_KEY_ID=key_id, DSXCONNECTOR_AUTH__HMAC_SECRET=secret)
    assert connector("get", "delta") == ""  # before it registers
    assert connector("register") == ["success", key_id]
    assert connector("put", "delta", "cursor") == 204
    assert "404" in str(connector("scan"))
